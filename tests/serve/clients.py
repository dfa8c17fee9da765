# SPDX-License-Identifier: MIT
"""Two agents talk through the clients of OpenAI and Anthropic: each goes on in a partition of its own.

clients.py PROGRAM MODEL
"""

from __future__ import annotations

import json
import sys
import unittest
from typing import Any

import anthropic
import openai
from running_server import RunningServer

KEY = "a-key-of-this-test"
LAMP: dict[str, Any] = {
    "name": "set_lamp",
    "description": "Switches a lamp.",
    "parameters": {
        "type": "object",
        "properties": {"room": {"type": "string"}, "state": {"enum": ["on", "off"]}},
        "required": ["room", "state"],
    },
}


class Agent:
    """A chat that is sent whole with each turn, as clients without an identity do."""

    def __init__(self, client: openai.OpenAI, system: str) -> None:
        self.client = client
        self.messages: list[Any] = [{"role": "system", "content": system}]
        self.partitions: set[str] = set()
        self.total_tokens = 0

    def ask(self, text: str, stream: bool) -> tuple[str, int]:
        """The answer, and how many tokens of the prompt were in a cache."""
        self.messages.append({"role": "user", "content": text})
        options: dict[str, Any] = {"model": "default", "messages": self.messages, "max_tokens": 24, "temperature": 0}
        if stream:
            options["stream_options"] = {"include_usage": True}
            chunks = list(self.client.chat.completions.create(stream=True, **options))
            answer = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            usage = chunks[-1].usage
            own = next(chunk.model_extra["bulkhead"] for chunk in chunks if "bulkhead" in (chunk.model_extra or {}))
        else:
            reply = self.client.chat.completions.create(**options)
            answer = reply.choices[0].message.content or ""
            usage = reply.usage
            own = reply.model_extra["bulkhead"]
        self.messages.append({"role": "assistant", "content": answer})
        self.partitions.add(own["partition"])
        self.total_tokens = usage.total_tokens
        return answer, usage.prompt_tokens_details.cached_tokens


class Clients(unittest.TestCase):
    server: RunningServer
    url: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = RunningServer(sys.argv[1:3], [KEY])
        cls.url = cls.server.url

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def client(self, key: str = KEY) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=120)

    def test_two_agents_go_on_in_partitions_of_their_own(self) -> None:
        answers: dict[bool, list[str]] = {}
        for stream in (False, True):
            agents = [Agent(self.client(), f"You are the {name}. Be brief. Run {stream}.") for name in ("cook", "pilot")]
            answers[stream] = []
            for turn, text in enumerate(("What do you do first?", "And then?", "Sum it up.")):
                for agent in agents:
                    held = agent.total_tokens
                    answer, cached = agent.ask(text, stream)
                    self.assertTrue(answer)
                    if turn > 0:
                        self.assertEqual(cached, held)
                    answers[stream].append(answer)
            self.assertEqual([len(agent.partitions) for agent in agents], [1, 1])
            self.assertFalse(agents[0].partitions & agents[1].partitions)

    def test_errors_are_those_the_client_knows(self) -> None:
        message: Any = [{"role": "user", "content": "hello"}]
        with self.assertRaises(openai.AuthenticationError):
            self.client("wrong").models.list()
        with self.assertRaises(openai.NotFoundError) as unknown:
            self.client().chat.completions.create(model="another", messages=message)
        self.assertEqual(unknown.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as refused:
            self.client().chat.completions.create(model="default", messages=message, presence_penalty=1)
        self.assertEqual(refused.exception.param, "presence_penalty")
        self.assertEqual(len(list(self.client().models.list())), 1)

    def test_anthropic(self) -> None:
        client = anthropic.Anthropic(base_url=self.url.removesuffix("/v1"), api_key=KEY, max_retries=0, timeout=120)
        messages: list[Any] = [{"role": "user", "content": "Name a fish."}]
        options: dict[str, Any] = {"model": "default", "system": "You are a cook.", "max_tokens": 12}
        options["extra_body"] = {"temperature": 0}  # this client has no argument for it
        counted = client.messages.count_tokens(model="default", system="You are a cook.", messages=messages)
        reply = client.messages.create(messages=messages, **options)
        self.assertEqual(reply.usage.input_tokens, counted.input_tokens)
        block = reply.content[0]
        assert block.type == "text"
        with client.messages.stream(messages=messages, **options) as stream:
            self.assertEqual("".join(stream.text_stream), block.text)
        messages += [{"role": "assistant", "content": block.text}, {"role": "user", "content": "Another."}]
        options["system"] = [{"type": "text", "text": options["system"], "cache_control": {"type": "ephemeral"}}]
        second = client.messages.create(messages=messages, **options)
        self.assertGreaterEqual(second.usage.cache_read_input_tokens or 0, counted.input_tokens)
        with self.assertRaises(anthropic.BadRequestError):
            client.messages.create(messages=messages, tools=[{"name": "a b", "input_schema": {}}], **options)

    def test_anthropic_calls_a_tool(self) -> None:
        client = anthropic.Anthropic(base_url=self.url.removesuffix("/v1"), api_key=KEY, max_retries=0, timeout=120)
        tools: list[Any] = [{"name": LAMP["name"], "input_schema": LAMP["parameters"]}]
        messages: list[Any] = [{"role": "user", "content": "Switch the light on in the hall."}]
        options: dict[str, Any] = {"model": "default", "max_tokens": 120, "tools": tools}
        with client.messages.stream(messages=messages, tool_choice={"type": "any"}, **options) as stream:
            message = stream.get_final_message()
        self.assertEqual(message.stop_reason, "tool_use")
        call = next(block for block in message.content if block.type == "tool_use")
        self.assertEqual(set(call.input), {"room", "state"})
        messages += [
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "It is on."}]},
        ]
        self.assertTrue(client.messages.create(messages=messages, **options).content)

    def test_a_chat_calls_a_tool(self) -> None:
        client = self.client()
        messages: list[Any] = [{"role": "user", "content": "Switch the light on in the hall."}]
        options: dict[str, Any] = {"model": "default", "temperature": 0, "max_tokens": 120}
        options["tools"] = [{"type": "function", "function": LAMP}]
        with client.chat.completions.stream(messages=messages, tool_choice="required", **options) as stream:
            message = stream.get_final_completion().choices[0].message
        assert message.tool_calls
        self.assertEqual(set(json.loads(message.tool_calls[0].function.arguments)), {"room", "state"})
        messages += [
            message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}),
            {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "It is on."},
        ]
        reply = client.chat.completions.create(messages=messages, **options)
        assert reply.usage is not None and reply.usage.prompt_tokens_details is not None
        self.assertGreater(reply.usage.prompt_tokens_details.cached_tokens or 0, 100)

    def test_responses_go_on_with_earlier_ones(self) -> None:
        client = self.client()
        options: dict[str, Any] = {"model": "default", "temperature": 0, "max_output_tokens": 24}
        first = client.responses.create(input="Name a fish.", **options)
        self.assertTrue(first.output_text)
        second = client.responses.create(input="Another.", previous_response_id=first.id, **options)
        assert first.usage is not None and second.usage is not None
        self.assertGreaterEqual(second.usage.input_tokens_details.cached_tokens, first.usage.total_tokens)
        with client.responses.stream(input="Name a fish.", **options) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_response().output_text, first.output_text)
        self.assertEqual(client.responses.retrieve(first.id).output_text, first.output_text)
        client.responses.delete(first.id)
        with self.assertRaises(openai.NotFoundError):
            client.responses.retrieve(first.id)

    def test_completions(self) -> None:
        reply = self.client().completions.create(model="default", prompt="Once upon a", max_tokens=4, n=2, seed=1)
        self.assertEqual(len(reply.choices), 2)
        assert reply.usage is not None
        self.assertEqual(reply.usage.completion_tokens, 8)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
