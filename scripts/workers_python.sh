#!/usr/bin/env bash
# Runs Python in the environment of the framework workers, which is installed first where it is not there; our package is the checkout's.
#   scripts/workers_python.sh ARGUMENTS OF PYTHON
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/install_workers.sh"
export PYTHONPATH=$root/workers OMP_WAIT_POLICY=passive HF_HUB_OFFLINE=1
exec "${BULKHEAD_WORKERS:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/workers}/bin/python" "$@"
