# SPDX-License-Identifier: MIT
"""`bulkhead serve` on a free port of loopback, for as long as a test needs it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import Any


class RunningServer:
    def __init__(self, program_and_model: list[str], keys: list[str], *flags: str) -> None:
        program, model = program_and_model
        command = [program, "serve", "-m", model, "--port", "0", "--json", "--api-key", ",".join(keys), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["listening"] + "/v1"

    def partitions(self, key: str) -> list[dict[str, Any]]:
        request = urllib.request.Request(self.url + "/partitions", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            data: list[dict[str, Any]] = json.load(reply)["data"]
        return data

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()
