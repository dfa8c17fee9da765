#!/usr/bin/env bash
# Brings the pinned llama.cpp sources into the cache folder, with our patches applied, and prints where they lie.
# Does nothing when they are there. The sources come inside a Python source package, checked by its SHA-256; none of its
# Python code is used. With --plain: where the sources without patches lie. The patches are patches/llama.cpp/*.patch (docs/decisions/0013-patched-llama.md).
set -euo pipefail

package=llama-cpp-python==0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
plain=$cache/llama.cpp-0.3.36
patches=("$(cd "$(dirname "$0")/.." && pwd)"/patches/llama.cpp/*.patch)
target=$plain-$(cat "${patches[@]}" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c 1-12)

if [ ! -f "$target/.complete" ]; then
  mkdir -p "$cache"
  exec 9>"$cache/fetch_llama.lock"
  flock 9 2>/dev/null || true  # absent on macOS: then two first runs at once do the work twice
  staging=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$staging"' EXIT
  if [ ! -f "$plain/.complete" ]; then
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
    rm -rf "$plain"
    mv "$staging/llama.cpp" "$plain"
    touch "$plain/.complete"
  fi
  if [ ! -f "$target/.complete" ]; then
    cp -R "$plain" "$staging/patched"
    rm "$staging/patched/.complete"
    for patch in "${patches[@]}"; do
      patch --directory "$staging/patched" --strip 1 --fuzz 0 --quiet <"$patch" >&2 ||
        { echo "fetch_llama: $patch does not fit $package" >&2; exit 4; }
    done
    rm -rf "$target"
    mv "$staging/patched" "$target"
    touch "$target/.complete"
  fi
fi
if [ "${1:-}" = --plain ]; then echo "$plain"; else echo "$target"; fi
