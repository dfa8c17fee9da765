"""What all hostile campaigns share: one try is one start of the program, and nothing it meets may end or hold it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    code: int  # negative: the signal that ended it
    hung: bool
    seconds: float
    output: str
    errors: str


@dataclass
class Tries:
    """Counts what a campaign found, and says so at the end."""

    program: str
    environment: dict[str, str]
    patience: float = 60
    memory: int = 16 << 30
    count: int = 0
    signals: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def start(self, arguments: list[str], patience: float | None = None) -> Outcome:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        begin = time.monotonic()
        child = subprocess.Popen([self.program, *arguments], env=os.environ | self.environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=limit)  # noqa: PLW1509 (one thread)
        try:
            output, errors = child.communicate(timeout=patience or self.patience)
            hung = False
        except subprocess.TimeoutExpired:
            child.kill()
            output, errors = child.communicate()
            hung = True
        return Outcome(child.returncode, hung, time.monotonic() - begin, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))

    def judge(self, name: str, outcome: Outcome, allowed: tuple[int, ...], also_wrong: str = "") -> None:
        """`also_wrong` names what is amiss although the code is allowed."""
        self.count += 1
        # A child of the program that was ended shows as 128 + signal.
        if outcome.hung:
            kind, place = f"no end after {outcome.seconds:.0f} s", self.hangs
        elif outcome.code < 0 or outcome.code in (132, 134, 135, 136, 139):
            kind, place = f"signal {-outcome.code if outcome.code < 0 else outcome.code - 128}", self.signals
        elif outcome.code not in allowed or also_wrong:
            kind, place = also_wrong or f"code {outcome.code}, not one of {allowed}", self.wrong
        else:
            return
        place.append(name)
        said = ascii((outcome.errors or outcome.output)[-300:])
        print(f"FOUND {name!a}: {kind}: {said}", flush=True)

    def summary(self) -> int:
        print(f"{self.count} tries, {len(self.signals)} signals, {len(self.hangs)} hangs, {len(self.wrong)} wrong codes")
        return 1 if self.signals or self.hangs or self.wrong or self.count == 0 else 0


def sample(items: list, most: int) -> list:
    """At most `most` of them, spread evenly."""
    if most <= 0 or len(items) <= most:
        return items
    return [items[i * len(items) // most] for i in range(most)]


def quiet_environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's is read or written."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "BULKHEAD_MODELS": str(home / "models"), "OMP_WAIT_POLICY": "passive"}


if __name__ == "__main__":
    sys.exit("start gguf.py or hub.py")
