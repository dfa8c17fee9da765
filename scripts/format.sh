#!/usr/bin/env bash
# Formats all C++ files in place; with --check, fails when one is not formatted.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run -Werror)
git ls-files -co --exclude-standard '*.h' '*.cpp' '*.cc' | xargs clang-format-16 "${mode[@]}"
