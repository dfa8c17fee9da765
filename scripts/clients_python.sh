#!/usr/bin/env bash
# Runs Python with the clients that the server is tested with, in pinned versions and an environment
# of their own under the cache folder, which is made first where it is not there.
#   scripts/clients_python.sh ARGUMENTS OF PYTHON
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=$("$root/scripts/python_environment.sh" clients "$root/tests/serve/requirements.txt")
exec "$python" "$@"
