"""What bench/serve.py asks of a server: agents with one system prompt, many topics, a long prompt beside streams. Times are seconds."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from serve_http import Client, Json, Running, ServerFailed, Stream

PLACES = ["harbour", "ward", "kitchen", "depot", "library", "clinic", "station", "market", "office", "garden", "workshop", "archive"]
PEOPLE = ["nurse", "clerk", "driver", "baker", "teacher", "pilot", "farmer", "guard", "doctor", "printer", "sailor", "judge"]
THINGS = ["ledger", "parcel", "recipe", "ticket", "lantern", "map", "letter", "engine", "basket", "permit", "contract", "sample"]
ACTS = ["checks", "moves", "signs", "opens", "repairs", "counts", "returns", "labels", "orders", "cleans", "reads", "sells"]
WHEN = ["before noon", "after the meeting", "every second day", "on Monday", "without delay", "during the night", "at the end of the week", "once a month"]


@dataclass(frozen=True)
class Sizes:
    """How much is asked for; of lengths, the least and the most."""

    agents: int = 8
    turns: int = 6
    system_tokens: int = 1000
    message_words: tuple[int, int] = (15, 60)
    answer_tokens: tuple[int, int] = (8, 40)
    topics: int = 40
    topic_turns: int = 4
    topic_words: int = 30
    topic_answer: int = 8
    compared: int = 10
    streams: int = 8
    stream_words: int = 40
    stream_tokens: int = 200
    settle: int = 16
    long_tokens: int = 2000

    def shorter(self) -> Sizes:
        """For the search: as many talk at a time, but not for as long."""
        return replace(self, turns=2, answer_tokens=(8, 16), topics=self.topics // 2, topic_turns=2)


QUICK = Sizes(agents=3, turns=3, system_tokens=200, topics=12, topic_turns=2, compared=3, streams=3, stream_tokens=120, settle=8, long_tokens=300)


class Texts:
    """Plain sentences, the same for every server, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def sentence(self) -> str:
        pick = self.random.choice
        return f"The {pick(PEOPLE)} of the {pick(PLACES)} {pick(ACTS)} the {pick(THINGS)} {pick(WHEN)}."

    def words(self, count: int) -> str:
        """So many words, the last sentence cut where they end."""
        text: list[str] = []
        while len(text) < count:
            text += self.sentence().split()
        return " ".join(text[:count])

    def of_tokens(self, count: int, tokens: Callable[[str], int]) -> str:
        """Sentences of so many tokens, a few more or fewer."""
        text = self.sentence()
        while (have := tokens(text)) < count:
            # A sentence has a dozen tokens: most of what is missing at once, then one by one.
            text += " " + " ".join(self.sentence() for _ in range(max(1, (count - have) // 20)))
        return text

    def between(self, bounds: tuple[int, int]) -> int:
        return self.random.randint(*bounds)


@dataclass(frozen=True)
class Turn:
    says: str
    tokens: int  # of the answer


class Talk:
    """One conversation with its history, in which the server's own answers stand."""

    def __init__(self, client: Client, system: str) -> None:
        self.client = client
        self.messages: list[Json] = [{"role": "system", "content": system}]
        self.text = system + "\n"

    def say(self, turn: Turn, running: Running | None = None) -> Stream:
        self.messages.append({"role": "user", "content": turn.says})
        self.text += f"\nQuestion: {turn.says}\nAnswer:"
        stream = self.client.ask(self.messages if self.client.chats else self.text, turn.tokens, running=running)
        self.messages.append({"role": "assistant", "content": stream.text})
        self.text += stream.text
        return stream


@dataclass
class Asked:
    """The requests of one repetition, the same for all servers."""

    system: str
    agents: list[list[Turn]]
    order: list[list[int]]  # of agents, by turn
    topics: list[tuple[str, list[Turn]]]
    streams: list[str]
    long: str

    @staticmethod
    def of(sizes: Sizes, seed: int, tokens: Callable[[str], int]) -> Asked:
        texts = Texts(seed)

        def turn() -> Turn:
            return Turn(texts.words(texts.between(sizes.message_words)), texts.between(sizes.answer_tokens))

        system = texts.of_tokens(sizes.system_tokens, tokens)
        agents = [[turn() for _ in range(sizes.turns)] for _ in range(sizes.agents)]
        order = [texts.random.sample(range(sizes.agents), sizes.agents) for _ in range(sizes.turns)]
        topics = [
            (texts.words(sizes.topic_words), [Turn(texts.words(sizes.topic_words), sizes.topic_answer) for _ in range(sizes.topic_turns)])
            for _ in range(sizes.topics)
        ]
        return Asked(system, agents, order, topics, [texts.words(sizes.stream_words) for _ in range(sizes.streams)], texts.of_tokens(sizes.long_tokens, tokens))


def warm(client: Client) -> None:
    """What is only paid once: pages of the weights, threads, first allocations."""
    Talk(client, "You are brief.").say(Turn(Texts(0).words(60), 8))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def figures_of(streams: list[list[Stream]], seconds: float) -> Json:
    """Of conversations, each a list of its turns."""
    later = [stream for turns in streams for stream in turns[1:]]
    every = [stream for turns in streams for stream in turns]
    first = [stream.first for stream in later]
    prompt = sum(int(stream.usage.get("prompt_tokens", 0)) for stream in later)
    drawn = sum(int(stream.usage["completion_tokens"]) for stream in every)
    return {
        "first_token_median": statistics.median(first),
        "first_token_p95": percentile(first, 0.95),
        "first_turn_median": statistics.median(turns[0].first for turns in streams),
        "output_tokens": drawn,
        "seconds": seconds,
        "output_tokens_per_second": drawn / seconds,
        "computed_prompt_tokens_later": prompt - sum(stream.cached() for stream in later),
        "prompt_tokens_later": prompt,
    }


def agents_sequential(client: Client, asked: Asked, sizes: Sizes) -> Json:
    """One request at a time, agents interleaved in a random order for each turn."""
    talks = [Talk(client, asked.system) for _ in asked.agents]
    streams: list[list[Stream]] = [[] for _ in asked.agents]
    begin = time.monotonic()
    for turn, order in enumerate(asked.order):
        for agent in order:
            streams[agent].append(talks[agent].say(asked.agents[agent][turn]))
    return figures_of(streams, time.monotonic() - begin)


@dataclass
class Threads:
    """Threads whose first error is the caller's."""

    errors: list[Exception] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, what: Callable[[], None]) -> None:
        def run() -> None:
            try:
                what()
            except Exception as error:  # noqa: BLE001
                self.errors.append(error)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]


def agents_concurrent(client: Client, asked: Asked, sizes: Sizes) -> Json:
    """All agents at a time, each of them with its next turn as soon as it has its answer."""
    streams: list[list[Stream]] = [[] for _ in asked.agents]
    threads = Threads()

    def converse(agent: int) -> None:
        talk = Talk(client, asked.system)
        streams[agent] += [talk.say(turn) for turn in asked.agents[agent]]

    begin = time.monotonic()
    for agent in range(len(asked.agents)):
        threads.start(lambda agent=agent: converse(agent))  # type: ignore[misc]
    threads.join()
    return figures_of(streams, time.monotonic() - begin)


def topics(client: Client, asked: Asked, sizes: Sizes) -> Json:
    """Many conversations of one client, in turns."""
    talks = [Talk(client, system) for system, _ in asked.topics]
    streams: list[list[Stream]] = [[] for _ in asked.topics]
    begin = time.monotonic()
    for turn in range(sizes.topic_turns):
        for topic, talk in enumerate(talks):
            streams[topic].append(talk.say(asked.topics[topic][1][turn]))
    figures = figures_of(streams, time.monotonic() - begin)
    halves = {"first": streams[: sizes.compared], "last": streams[-sizes.compared :]}
    for name, part in halves.items():
        figures[f"{name}_topics"] = statistics.median(stream.first for turns in part for stream in turns)
        figures[f"{name}_topics_later"] = statistics.median(stream.first for turns in part for stream in turns[1:])
    figures["last_over_first"] = figures["last_topics"] / figures["first_topics"]
    figures["last_over_first_later"] = figures["last_topics_later"] / figures["first_topics_later"]
    return figures


class Beside:
    """Streams that run beside a long prompt, until they are left."""

    def __init__(self, client: Client, asked: Asked, sizes: Sizes) -> None:
        self.running = [Running() for _ in asked.streams]
        self.streams: list[Stream] = []
        self.threads = Threads()
        for text, one in zip(asked.streams, self.running, strict=True):
            self.threads.start(lambda text=text, one=one: self._follow(client, text, sizes.stream_tokens, one))  # type: ignore[misc]

    def _follow(self, client: Client, text: str, tokens: int, running: Running) -> None:
        self.streams.append(Talk(client, "You tell long stories.").say(Turn(text, tokens), running))

    def settle(self, tokens: int, most: int) -> None:
        """Waits until as many as the server runs at a time have so many pieces of text."""
        end = time.monotonic() + 300
        while sorted((one.count() for one in self.running), reverse=True)[most - 1] < tokens:
            if self.threads.errors or time.monotonic() > end:
                raise ServerFailed(f"the streams do not run: {[one.count() for one in self.running]} {self.threads.errors}")
            time.sleep(0.01)

    def leave(self) -> None:
        for one in self.running:
            one.leave = True
        self.threads.join()


def pause(client: Client, asked: Asked, sizes: Sizes) -> Json:
    """One long prompt beside streams: their longest pause between two tokens, in steps, which are median pauses before it came."""
    status, props = client.server.ask("GET", "/props")
    slots = int(props.get("total_slots", sizes.streams)) if status == 200 else sizes.streams
    beside = Beside(client, asked, sizes)
    beside.settle(sizes.settle, min(sizes.streams, slots))
    long = Talk(client, "You are brief.").say(Turn(asked.long, 8))
    beside.leave()
    came = long.sent + long.first
    gaps = [gap for stream in beside.streams for gap in stream.gaps()]
    before = [length for end, length in gaps if end < long.sent]
    during = [length for end, length in gaps if end - length < came and end > long.sent]
    if not before or not during:
        raise ServerFailed("no stream ran before and beside the long prompt")
    step = statistics.median(before)
    ran = sum(any(end - length < came and end > long.sent for end, length in stream.gaps()) for stream in beside.streams)
    return {
        "step": step,
        "longest_before_steps": max(before) / step,
        "longest_pause": max(during),
        "longest_pause_steps": max(during) / step,
        "median_pause_steps": statistics.median(during) / step,
        "streams_beside": min(ran, slots - 1) if "total_slots" in props else ran,  # with a slot for each of them and one more
        "streams": sizes.streams,
        "long_first_token": long.first,
        "long_prompt_tokens": int(long.usage.get("prompt_tokens", 0)),
    }


Workload = Callable[[Client, Asked, Sizes], Json]
WORKLOADS: dict[str, Workload] = {
    "agents-sequential": agents_sequential,
    "agents-concurrent": agents_concurrent,
    "topics": topics,
    "pause": pause,
}
