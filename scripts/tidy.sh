#!/usr/bin/env bash
# clang-tidy over src/, each file by itself.   scripts/tidy.sh [file ...]
set -euo pipefail
cd "$(dirname "$0")/.."
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(git ls-files -co --exclude-standard 'src/*.cpp' 'src/*.cc')
[ -d build/release/src/embedded ] || scripts/build.sh release
cmake --preset release -B build/tidy -D CMAKE_UNITY_BUILD=OFF >/dev/null
cp -r build/release/src/embedded build/tidy/src/  # what a build generates
# gcc's own warning flags mean nothing to clang-tidy.
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 2 clang-tidy-16 -p build/tidy --quiet \
  --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-everything 2> >(grep -v 'warnings generated' >&2)
