#!/usr/bin/env bash
# Checks the page of `bulkhead serve`: strict types, dist/ is what the sources give, its modules, and
# the page in headless Chromium against a server of its own on a free port of loopback.
#   scripts/page_check.sh PROGRAM MODEL [FOLDER]     FOLDER: for screenshots (build/page)
#   scripts/page_check.sh --sources                  without browser, server and model
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
[ "${1:-}" = --sources ] || { program=$(realpath "$1"); folder=$(realpath -m "${3:-$root/build/page}"); }
"$root/scripts/page_tools.sh"
rebuilt=$(mktemp -d)
trap 'rm -rf "$rebuilt"' EXIT
cd "$root/page"
node node_modules/typescript/bin/tsc --noEmit
node build.mjs "$rebuilt"
diff -r "$rebuilt" dist ||
  { echo "page_check: page/dist is not what the sources give; run: cd page && npm run build" >&2; exit 1; }
node --test test/modules.test.mjs
[ "${1:-}" = --sources ] && exit 0
rm -rf "$folder"
node test/browser.mjs "$program" "$2" "$folder"
