#!/usr/bin/env bash
# Configures and builds one preset into build/PRESET.   scripts/build.sh [PRESET] [ninja target ...]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/ccache}
# Paths below the checkout do not count, so that another clone finds what this one compiled.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" "${@/#/--target=}" >&2
