#!/usr/bin/env python3
"""The pages of the commands, made from what the program says of itself: docs/cli.md, or man pages.

    scripts/cli_docs.py PROGRAM > docs/cli.md
    scripts/cli_docs.py PROGRAM --man FOLDER     bulkhead.1, bulkhead-run.1, ...
    scripts/cli_docs.py PROGRAM --check docs/cli.md     ends with 1 where it is not what the program says
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HEAD = """# Commands

What `bulkhead COMMAND --help` says, made by `scripts/cli_docs.py`. How the commands go together:
[running.md](running.md), [serving.md](serving.md), [evaluation.md](evaluation.md).
"""


def help_of(program: str, *command: str) -> str:
    return subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True).stdout.strip()


def commands_of(overview: str) -> list[tuple[str, str]]:
    """Names and what they are for."""
    lines = overview.partition("Subcommands:\n")[2].splitlines()
    found: list[tuple[str, str]] = []
    for line in lines:
        if not line.startswith("  "):
            break
        name, _, about = line.strip().partition(" ")
        if line[2] == " ":
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            found.append((name, about.strip()))
    return found


def all_commands(program: str, *above: str) -> list[tuple[tuple[str, ...], str]]:
    """Names of commands and of commands of commands, with what they are for."""
    found: list[tuple[tuple[str, ...], str]] = []
    for name, about in commands_of(help_of(program, *above)):
        found.append(((*above, name), about))
        found += all_commands(program, *above, name)
    return found


def markdown(program: str) -> str:
    parts = [HEAD, f"## bulkhead\n\n```text\n{help_of(program)}\n```\n"]
    parts += [f"## bulkhead {' '.join(name)}\n\n```text\n{help_of(program, *name)}\n```\n" for name, _ in all_commands(program)]
    return "\n".join(parts)


def roff(text: str) -> str:
    """Text as it stands: backslashes mean something in roff, and so do points and quotes at the start of a line."""
    lines = [line.replace("\\", "\\e") for line in text.splitlines()]
    return "\n".join("\\&" + line if line[:1] in {".", "'"} else line for line in lines)


def man_page(program: str, name: str, about: str, text: str, others: list[str]) -> str:
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    see = ", ".join(f"{other}(1)" for other in others if other != name)
    return (
        f'.TH {name.upper()} 1 "" "bulkhead {version}" "Bulkhead"\n.SH NAME\n{name} \\- {roff(about.rstrip("."))}\n'
        f".SH DESCRIPTION\n.nf\n{roff(text)}\n.fi\n.SH SEE ALSO\n{see}\n"
    )


def write_man_pages(program: str, folder: Path) -> None:
    pages = {"bulkhead": ("one language model, many KV caches that cannot see each other", help_of(program))}
    pages |= {"-".join(("bulkhead", *name)): (about, help_of(program, *name)) for name, about in all_commands(program)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, (about, text) in pages.items():
        (folder / f"{name}.1").write_text(man_page(program, name, about, text, list(pages)), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--man", type=Path)
    parser.add_argument("--check", type=Path)
    flags = parser.parse_args()
    if flags.man:
        write_man_pages(flags.program, flags.man)
    elif flags.check:
        if flags.check.read_text(encoding="utf-8") != markdown(flags.program):
            print(f"{flags.check} is not what the program says: scripts/cli_docs.py PROGRAM > {flags.check}", file=sys.stderr)
            return 1
    else:
        sys.stdout.write(markdown(flags.program))
    return 0


if __name__ == "__main__":
    sys.exit(main())
