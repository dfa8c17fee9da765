#!/usr/bin/env bash
# Brings the pinned llama.cpp sources into the cache folder and prints where they lie. Does nothing when they are there.
# They come inside a Python source package, checked by its SHA-256; none of its Python code is used.
set -euo pipefail

package=llama-cpp-python==0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
target=$cache/llama.cpp-0.3.36

if [ ! -f "$target/.complete" ]; then
  mkdir -p "$cache"
  exec 9>"$cache/fetch_llama.lock"
  flock 9 2>/dev/null || true  # absent on macOS: then two first runs at once do the work twice
  if [ ! -f "$target/.complete" ]; then
    staging=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    echo "fetching llama.cpp sources (76 MB)" >&2
    # pip asks the package's build tools for its metadata, so those may come as wheels; only the archive is kept.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python "$package" -d "$staging" >&2
    archive=$(ls "$staging"/llama_cpp_python-*.tar.gz)
    echo "$sha256  $archive" | { sha256sum -c --quiet - 2>/dev/null || shasum -a 256 -c --quiet -; } ||
      { echo "fetch_llama: $package has another SHA-256 than $sha256" >&2; exit 4; }
    tar -xzf "$archive" -C "$staging" --strip-components=2 --wildcards '*/vendor/llama.cpp' 2>/dev/null ||
      tar -xzf "$archive" -C "$staging" --strip-components=2 '*/vendor/llama.cpp'
    # A stray file that makes ninja believe the manifest is always out of date.
    rm -f "$staging/llama.cpp/.git"
    rm -rf "$target"
    mv "$staging/llama.cpp" "$target"
    touch "$target/.complete"
  fi
fi
echo "$target"
