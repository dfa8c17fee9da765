# SPDX-License-Identifier: MIT
"""What docs/openapi.json says of the routes is what the server does, on thousands of requests made from it.

Finds server errors, and answers in another form than the document's (schemathesis).

openapi.py PROGRAM MODEL [EXAMPLES]    EXAMPLES: random ones for each route; then also one of every kind of value
                                       that a schema allows or forbids, some 2,500 requests (without: 4 random ones)
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

from running_server import RunningServer

KEY = "a-key-of-this-test"
DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "openapi.json"
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


def main() -> int:
    examples, phases = (sys.argv[3], "coverage,fuzzing") if len(sys.argv) > 3 else ("4", "fuzzing")
    # A short context: requests that leave out max_tokens fill it.
    server = RunningServer(sys.argv[1:3], [KEY], "-c", "512")
    try:
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(DOCUMENT)]
        command += ["--url", server.url.removesuffix("/v1"), "--header", f"Authorization: Bearer {KEY}"]
        command += ["--checks", CHECKS, "--max-examples", examples, "--phases", phases]
        command += ["--request-timeout", "120", "--generation-deterministic"]
        with tempfile.TemporaryDirectory() as folder:  # it keeps notes where it runs
            return subprocess.run(command, check=False, cwd=folder).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
