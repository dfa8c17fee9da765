# SPDX-License-Identifier: MIT
"""What a partition does, on the fake engine: exact, and without weights."""

from __future__ import annotations

import gc

import pytest

import bulkhead_kv as bulkhead


def test_a_generation_and_its_books(fake: bulkhead.Model) -> None:
    with fake.open("books") as partition:
        partition.prefill("one two three")
        before = partition.usage.tokens
        generation = partition.generate(max_tokens=5, temperature=0, hash_logits=True, ignore_end=True)
        assert len(generation.tokens) == 5
        assert len(generation.logit_hashes) == 5
        assert all(len(one) == 16 and int(one, 16) >= 0 for one in generation.logit_hashes)
        assert generation.finish == "length"
        usage = partition.usage
        assert usage.name == "books"
        assert usage.prefilled_tokens + usage.reused_tokens + usage.generated_tokens - usage.removed_tokens == usage.tokens
        assert usage.tokens > before
        assert str(generation) == generation.text
        assert partition.text.endswith(generation.text)


def test_a_message_carries_text_and_provenance(fake: bulkhead.Model) -> None:
    with fake.open("sender") as sender, fake.open("reader") as reader:
        sender.prefill("a report")
        with pytest.raises(bulkhead.BadInputError):
            sender.last_output()
        generation = sender.generate(max_tokens=4, ignore_end=True)
        message = sender.last_output("A")
        assert (message.text, message.sender, message.label) == (generation.text, "sender", "A")
        reader.receive(message)
        assert reader.usage.messages_received == 1
        assert message.text in reader.text


def test_a_fork_goes_on_apart(fake: bulkhead.Model) -> None:
    with fake.open("trunk") as trunk:
        trunk.prefill("shared words")
        with trunk.fork("branch") as branch:
            assert branch.usage.reused_tokens == trunk.usage.tokens
            branch.prefill(" of the branch")
            assert "of the branch" not in trunk.text
            tokens = trunk.usage.tokens
            branch.truncate(tokens)
            assert branch.usage.token_sha256 == trunk.usage.token_sha256


def test_names_are_free_when_a_partition_is_closed(fake: bulkhead.Model) -> None:
    first = fake.open("name")
    with pytest.raises(bulkhead.UsageError) as taken:
        fake.open("name")
    assert taken.value.code == "usage"
    assert taken.value.exit_code == 2
    first.close()
    fake.open("name").close()
    with pytest.raises(bulkhead.UsageError, match="closed"):
        first.prefill("text")
    fake.open("name")  # nobody holds it
    gc.collect()
    fake.open("name").close()


def test_a_partition_outlives_its_model() -> None:
    model = bulkhead.Model("", engine="fake", context_tokens=64)
    partition = model.open("left")
    model.close()
    partition.prefill("words")
    assert partition.usage.tokens > 0
    with pytest.raises(bulkhead.UsageError, match="the model is closed"):
        partition.generate()


def test_wrong_options_are_named(fake: bulkhead.Model) -> None:
    with fake.open("wrong") as partition:
        partition.prefill("text")
        with pytest.raises(bulkhead.BadInputError) as unknown:
            partition.generate(temprature=1)  # type: ignore[call-arg]
        assert "temprature" in unknown.value.place
        with pytest.raises(bulkhead.BadInputError) as kind:
            partition.generate(max_tokens="many")  # type: ignore[arg-type]
        assert "max_tokens" in kind.value.place
        with pytest.raises(bulkhead.UsageError):
            partition.generate(temperature=1e9)
        with pytest.raises(bulkhead.BadInputError):
            partition.generate(max_tokens=-1)
        assert partition.generate(max_tokens=1).tokens, "it is usable as before"
    with pytest.raises(bulkhead.UsageError):
        bulkhead.Model("there is no such model")
    with pytest.raises(bulkhead.BulkheadError):
        bulkhead.Model("", engine="no engine")


def test_a_budget_is_of_its_owner_alone(fake: bulkhead.Model) -> None:
    fake.set_budget("small", partitions=1)
    with fake.open("small-1", owner="small"):
        with pytest.raises(bulkhead.ResourceError):
            fake.open("small-2", owner="small")
        fake.open("other", owner="other").close()
    assert fake.park() >= 0


def test_a_batch_gives_what_each_gives_alone(fake: bulkhead.Model) -> None:
    texts = ["one", "two", "three"]

    def alone(text: str) -> bulkhead.Generation:
        with fake.open(text) as partition:
            partition.prefill(text)
            return partition.generate(max_tokens=6, ignore_end=True, seed=len(text))

    wanted = [alone(text) for text in texts]
    partitions = [fake.open(text) for text in texts]
    for partition, text in zip(partitions, texts, strict=True):
        partition.prefill(text)
    heard: dict[int, list[int]] = {}
    together = fake.generate(
        partitions,
        [{"seed": len(text)} for text in texts],
        on_token=lambda which, token: heard.setdefault(which, []).append(token.id),
        max_tokens=6,
        ignore_end=True,
    )
    assert [one.tokens for one in together] == [one.tokens for one in wanted]
    assert [tuple(heard[i]) for i in range(3)] == [one.tokens for one in wanted]
    with pytest.raises(bulkhead.UsageError):
        fake.generate([partitions[0], partitions[0]])
    for partition in partitions:
        partition.close()


def test_a_listener_may_stop_and_may_fail(fake: bulkhead.Model) -> None:
    with fake.open("listener") as partition:
        partition.prefill("text")
        stopped = partition.generate(max_tokens=50, ignore_end=True, on_token=lambda token: token.index < 2)
        assert stopped.finish == "cancelled"
        assert len(stopped.tokens) == 3

        def fail(token: bulkhead.Token) -> None:
            raise KeyError(token.index)

        with pytest.raises(KeyError):
            partition.generate(max_tokens=50, ignore_end=True, on_token=fail)
        assert partition.generate(max_tokens=1).tokens


def test_embedding_models_that_are_not_there() -> None:
    with pytest.raises(bulkhead.UsageError):
        bulkhead.Embedder("there is no such model")
