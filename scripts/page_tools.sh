#!/usr/bin/env bash
# Brings the pinned tools of the page (page/package-lock.json: compiler, bundler, a browser's remote
# control, axe-core) into the cache folder and links them as page/node_modules. Does nothing when they
# are there. Needs npm; no package's install script is run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
target=$cache/page-$(cksum <"$root/page/package-lock.json" | cut -d' ' -f1)
if [ ! -f "$target/.complete" ]; then
  command -v npm >/dev/null || { echo "page_tools: npm is missing (scripts/setup.sh)" >&2; exit 5; }
  mkdir -p "$cache"
  exec 9>"$cache/page_tools.lock"
  flock 9 2>/dev/null || true  # absent on macOS: then two first runs at once do the work twice
  if [ ! -f "$target/.complete" ]; then
    rm -rf "$target"
    mkdir -p "$target"
    cp "$root/page/package.json" "$root/page/package-lock.json" "$root/page/.npmrc" "$target/"
    echo "fetching the page's tools (60 MB)" >&2
    (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --silent >&2) ||
      { echo "page_tools: npm could not fetch the page's tools" >&2; exit 6; }
    touch "$target/.complete"
  fi
fi
[ "$(readlink "$root/page/node_modules" || true)" = "$target/node_modules" ] ||
  ln -sfn "$target/node_modules" "$root/page/node_modules"
