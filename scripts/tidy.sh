#!/usr/bin/env bash
# clang-tidy over src/ with the compile commands of build/release.   scripts/tidy.sh [file ...]
set -euo pipefail
cd "$(dirname "$0")/.."
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(git ls-files -co --exclude-standard 'src/*.cpp' 'src/*.cc')
[ -f build/release/compile_commands.json ] || scripts/build.sh release
# gcc's own warning flags mean nothing to clang-tidy.
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 2 clang-tidy-16 -p build/release --quiet \
  --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-everything 2> >(grep -v 'warnings generated' >&2)
