# SPDX-License-Identifier: MIT
"""Two agents of each framework talk through the server: each goes on in a partition of its own.

None of these frameworks says who is speaking: what is reused is found by exact history.

frameworks.py PROGRAM MODEL
"""

from __future__ import annotations

import os
import sys
import unittest
from collections.abc import Callable
from typing import Any

from running_server import RunningServer

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
os.environ["LANGSMITH_TRACING"] = "false"

NAMES = ("pydantic-ai", "openai-agents", "smolagents", "langgraph")
ROLES = ("You are the cook. Be brief.", "You are the pilot. Be brief.")
QUESTIONS = ("What do you do first?", "And then?", "Sum it up.")
MODEL = "default"

# Says the next thing to one agent, and gives its answer.
Ask = Callable[[str], str]


def pydantic_ai_agent(url: str, key: str, role: str) -> Ask:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key=key))
    agent = Agent(model, instructions=role, model_settings={"max_tokens": 24, "temperature": 0})
    history: list[Any] = []

    def ask(text: str) -> str:
        result = agent.run_sync(text, message_history=history)
        history[:] = result.all_messages()
        return str(result.output)

    return ask


def openai_agents_agent(url: str, key: str, role: str) -> Ask:
    from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner
    from openai import AsyncOpenAI

    model = OpenAIResponsesModel(MODEL, AsyncOpenAI(base_url=url, api_key=key))
    settings = ModelSettings(max_tokens=24, temperature=0)
    agent = Agent(name=role, instructions=role, model=model, model_settings=settings)
    history: list[Any] = []

    def ask(text: str) -> str:
        result = Runner.run_sync(agent, [*history, {"role": "user", "content": text}])
        history[:] = result.to_input_list()
        return str(result.final_output)

    return ask


def smolagents_agent(url: str, key: str, role: str) -> Ask:
    from smolagents import ChatMessage, MessageRole, OpenAIModel  # type: ignore[import-untyped]

    model = OpenAIModel(MODEL, api_base=url, api_key=key, max_tokens=24, temperature=0)
    history = [ChatMessage(role=MessageRole.SYSTEM, content=[{"type": "text", "text": role}])]

    def ask(text: str) -> str:
        history.append(ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": text}]))
        answer = str(model.generate(history).content)
        history.append(ChatMessage(role=MessageRole.ASSISTANT, content=[{"type": "text", "text": answer}]))
        return answer

    return ask


def langgraph_agent(url: str, key: str, role: str) -> Ask:
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph
    from pydantic import SecretStr

    model = ChatOpenAI(model=MODEL, base_url=url, api_key=SecretStr(key), temperature=0, max_completion_tokens=24)

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke([("system", role), *state["messages"]])]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    graph = builder.compile(checkpointer=InMemorySaver())

    def ask(text: str) -> str:
        said = MessagesState(messages=[HumanMessage(text)])
        state = graph.invoke(said, {"configurable": {"thread_id": role}})
        return str(state["messages"][-1].content)

    return ask


class Frameworks(unittest.TestCase):
    server: RunningServer

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = RunningServer(sys.argv[1:3], list(NAMES))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def two_agents(self, key: str, make: Callable[[str, str, str], Ask]) -> None:
        agents = [make(self.server.url, key, role) for role in ROLES]
        for question in QUESTIONS:
            for ask in agents:
                self.assertTrue(ask(question))
        partitions = self.server.partitions(key)
        self.assertEqual(len(partitions), len(agents), partitions)
        for partition in partitions:
            self.assertEqual(partition["turns"], 1 + 2 * len(QUESTIONS))
            ledger = partition["ledger"]
            once = ledger["prefilled_tokens"] + ledger["reused_tokens"] + ledger["generated_tokens"]
            self.assertLessEqual(once, partition["tokens"] + 2 * len(QUESTIONS), "no turn is computed twice")

    def test_pydantic_ai(self) -> None:
        self.two_agents("pydantic-ai", pydantic_ai_agent)

    def test_openai_agents(self) -> None:
        self.two_agents("openai-agents", openai_agents_agent)

    def test_smolagents(self) -> None:
        self.two_agents("smolagents", smolagents_agent)

    def test_langgraph(self) -> None:
        self.two_agents("langgraph", langgraph_agent)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], warnings="ignore")
