#!/usr/bin/env bash
# Brings the pinned chart libraries of the report (Observable Plot and D3, both ISC) into the cache folder and prints
# where they lie: plot.umd.min.js, d3.min.js and their licences. Does nothing when they are there. Needs npm, and runs
# none of the packages' code.
set -euo pipefail

packages=(@observablehq/plot@0.6.17 d3@7.9.0)
archives=(observablehq-plot-0.6.17.tgz d3-7.9.0.tgz)
sha256=(4dcc9f7afd10caee8b2283c0075a5765610cfbbf6d7d93cdb153b3b5d3501afc
  7e36605710a2ba54846797c8c6d888911341b215ae53257dc32a49a0b824355e)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
target=$cache/npm-plot-0.6.17-d3-7.9.0

# macOS has shasum instead.
sha256_of() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

if [ ! -f "$target/.complete" ]; then
  command -v npm >/dev/null ||
    { echo "fetch_plot: npm is missing; install it (Debian: apt-get install npm)" >&2; exit 5; }
  mkdir -p "$cache"
  exec 9>"$cache/fetch_plot.lock"
  flock 9 2>/dev/null || true  # absent on macOS: then two first runs at once do the work twice
  if [ ! -f "$target/.complete" ]; then
    staging=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    echo "fetching Observable Plot and D3 (0.6 MB)" >&2
    (cd "$staging" && npm pack --silent --ignore-scripts "${packages[@]}" >/dev/null) ||
      { echo "fetch_plot: npm could not fetch ${packages[*]}" >&2; exit 6; }
    mkdir "$staging/files"
    for i in 0 1; do
      archive=$staging/${archives[$i]}
      [ "$(sha256_of "$archive")" = "${sha256[$i]}" ] ||
        { echo "fetch_plot: ${packages[$i]} has another SHA-256 than ${sha256[$i]}" >&2; exit 4; }
      mkdir "$staging/$i"
      tar -xzf "$archive" -C "$staging/$i" --strip-components=1
    done
    cp "$staging/0/dist/plot.umd.min.js" "$staging/1/dist/d3.min.js" "$staging/files/"
    cp "$staging/0/LICENSE" "$staging/files/plot.license.txt"
    cp "$staging/1/LICENSE" "$staging/files/d3.license.txt"
    touch "$staging/files/.complete"
    rm -rf "$target"
    mv "$staging/files" "$target"
  fi
fi
echo "$target"
