# SPDX-License-Identifier: MIT
"""Three agents work at the same time, each in a partition of its own; a fourth one reads what they finished.

    python examples/python/agents.py [MODEL]
"""

from __future__ import annotations

import asyncio
import sys

import bulkhead_kv as bulkhead

NOTES = {
    "network": "Monday: the switch in room 4 lost two ports. Tuesday: it was replaced. In short,",
    "kitchen": "The menu of the week has soup, rice and plums, and nobody liked the soup. In short,",
    "budget": "We spent 420 of 500 euros in March, most of it on paper. In short,",
}


async def report(model: bulkhead.Model, name: str, note: str) -> bulkhead.Message:
    with model.open(name) as agent:
        await agent.aprefill(note)
        await agent.agenerate(max_tokens=24, temperature=0)
        return agent.last_output(name)


async def main(path: str) -> None:
    model = bulkhead.Model(path, context_tokens=1024)
    outputs = await asyncio.gather(*(report(model, name, note) for name, note in NOTES.items()))
    with model.open("editor") as editor:
        for output in outputs:
            await editor.aprefill(f"\n{output.label}:")
            await editor.areceive(output)
        await editor.aprefill("\nThe most urgent of these is")
        async for token in editor.astream(max_tokens=24, temperature=0):
            print(token.text, end="", flush=True)
        print()
        print(f"{editor.usage.messages_received} messages, {editor.usage.tokens} tokens", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "gemma-3-270m"))
