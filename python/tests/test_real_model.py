# SPDX-License-Identifier: MIT
"""On a real model: threads, tasks, streams, Ctrl-C, and the same texts and logits as the program."""

from __future__ import annotations

import _thread
import asyncio
import json
import threading
import time
from pathlib import Path

import pytest

import bulkhead_kv as bulkhead

TEXT = "The pump failed at 3 bar. The cause was"


def answer(model: bulkhead.Model, name: str, text: str = TEXT) -> bulkhead.Generation:
    with model.open(name) as partition:
        partition.prefill(text)
        return partition.generate(max_tokens=24, temperature=0, hash_logits=True)


def test_partitions_of_two_threads_do_not_change_each_other(gemma: bulkhead.Model) -> None:
    alone = answer(gemma, "alone")
    results: dict[str, bulkhead.Generation] = {}

    def work(name: str, text: str) -> None:
        results[name] = answer(gemma, name, text)

    threads = [threading.Thread(target=work, args=("same", TEXT)), threading.Thread(target=work, args=("other", "Once upon a time"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results["same"].tokens == alone.tokens
    assert results["same"].logit_hashes == alone.logit_hashes
    assert results["other"].tokens != alone.tokens


def test_tasks_are_computed_together_and_cancelled_alone(gemma: bulkhead.Model) -> None:
    alone = answer(gemma, "alone")

    async def work() -> tuple[bulkhead.Generation, int]:
        kept, left = gemma.open("kept"), gemma.open("left")
        await asyncio.gather(kept.aprefill(TEXT), left.aprefill("Count: 1 2 3"))
        long = asyncio.create_task(left.agenerate(max_tokens=800, temperature=0, ignore_end=True))
        await asyncio.sleep(0.05)
        task = asyncio.create_task(kept.agenerate(max_tokens=24, temperature=0, hash_logits=True))
        await asyncio.sleep(0.05)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        result = await task
        await left.agenerate(max_tokens=2)  # usable
        return result, left.usage.tokens

    result, tokens = asyncio.run(work())
    assert result.logit_hashes == alone.logit_hashes
    assert tokens < 800


def test_a_stream_is_the_text(gemma: bulkhead.Model) -> None:
    alone = answer(gemma, "alone")
    with gemma.open("stream") as partition:
        partition.prefill(TEXT)
        assert "".join(token.text for token in partition.stream(max_tokens=24, temperature=0)) == alone.text
    with gemma.open("left early") as partition:
        partition.prefill(TEXT)
        for token in partition.stream(max_tokens=800, temperature=0, ignore_end=True):
            if token.index == 3:
                break
        tokens = partition.usage.tokens
        time.sleep(0.2)
        assert partition.usage.tokens == tokens, "nothing goes on behind it"

    async def collected() -> str:
        with gemma.open("astream") as partition:
            await partition.aprefill(TEXT)
            return "".join([token.text async for token in partition.astream(max_tokens=24, temperature=0)])

    assert asyncio.run(collected()) == alone.text


def test_ctrl_c_leaves_all_others_usable(gemma: bulkhead.Model) -> None:
    alone = answer(gemma, "alone")
    with gemma.open("interrupted") as partition, gemma.open("bystander") as bystander:
        partition.prefill(TEXT)
        bystander.prefill(TEXT)
        timer = threading.Timer(0.2, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            partition.generate(max_tokens=900, temperature=0, ignore_end=True)
        timer.join()
        assert partition.usage.tokens < 900
        assert partition.generate(max_tokens=2).tokens
        assert bystander.generate(max_tokens=24, temperature=0, hash_logits=True).logit_hashes == alone.logit_hashes


def test_probabilities_and_rules(gemma: bulkhead.Model) -> None:
    with gemma.open("rules") as partition:
        partition.prefill("Is water wet? Answer:")
        generation = partition.generate(max_tokens=4, temperature=0, grammar='root ::= " yes" | " no"', logprobs=3)
        assert generation.text in {" yes", " no"}
        assert len(generation.logprobs) == len(generation.tokens)
        assert all(one.logprob <= 0 and len(one.top) == 3 for one in generation.logprobs)
        forbidden = generation.tokens[0]
        partition.truncate(0)
        partition.prefill("Is water wet? Answer:")
        other = partition.generate(max_tokens=1, temperature=0, logit_bias=[{"token": forbidden, "bias": None}])
        assert other.tokens[0] != forbidden


def scenario_of(texts: dict[str, str]) -> dict[str, object]:
    """One turn for each topic."""
    return {
        "id": "topics",
        "domain": "test",
        "total_turns": len(texts),
        "description": "one turn for each topic",
        "semantic_clusters": {
            f"cluster_{i}": {"task_type": "report", "topic": topic, "turns": [i], "terminology": [topic], "expected_output": "a report"}
            for i, topic in enumerate(texts, 1)
        },
        "turns": [
            {"turn_id": i, "cluster": f"cluster_{i}", "role": "user", "type": "instruction", "instruction": text}
            for i, text in enumerate(texts.values(), 1)
        ],
    }


def test_the_same_texts_and_logits_as_the_program(gemma: bulkhead.Model) -> None:
    scenario = scenario_of({"a pump": TEXT})
    result = bulkhead.run(scenario, model="gemma-3-270m", format="raw", predict=24, temp=0, conditions=["semantic"], ctx_size=1024)
    (row,) = result.rows()
    output = result.document["runs"][0]["conditions"][0]["outputs"][0]
    with gemma.open("as the program") as partition:
        partition.prefill(f"{TEXT}\n\nOutput A, written on the basis of the text above:\n")
        assert partition.usage.token_sha256 == output["input_sha256"], "the same tokens"
        generation = partition.generate(max_tokens=24, temperature=0, hash_logits=True)
    assert generation.text == row["text"]
    assert list(generation.tokens) == output["token_ids"]
    assert generation.logit_hashes[-1] == output["logit_hash"]
    assert row["condition"] == "semantic"
    assert row["isolated"] is True


def test_results_as_tables_and_pictures(gemma: bulkhead.Model, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps(scenario_of({"a pump": TEXT, "a fair": "Once upon a time"})), encoding="utf-8")
    result = bulkhead.run(scenario, model="gemma-3-270m", out=tmp_path / "run", conditions=["sequential", "semantic"], predict=8, temp=0)
    table = result.frame()
    assert list(table["condition"].unique()) == ["sequential", "semantic"]
    assert len(table) == len(result.rows()) == 4
    assert result.plot("tokens").get_ylabel() == "tokens"
    assert (tmp_path / "run" / "results.json").is_file()
    with pytest.raises(bulkhead.UsageError):
        bulkhead.run(scenario, model="gemma-3-270m", no_such_flag=True)
    with pytest.raises(bulkhead.BadInputError):
        bulkhead.run({"id": "broken"}, model="gemma-3-270m")
