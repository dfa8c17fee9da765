#!/usr/bin/env bash
# Builds what is shipped: a .deb, a tarball that runs from any folder, their SHA-256 sums and a list of all that is in them (SPDX).
#   scripts/packages.sh [FOLDER]     default: build/packages
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${1:-build/packages}"
folder=$(cd "${1:-build/packages}" && pwd)
scripts/setup.sh
# The same bytes for the same commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
scripts/build.sh package
program=$PWD/build/package/src/bulkhead
version=$("$program" --version | sed -n '1s/bulkhead //p')
rm -rf "$folder"/bulkhead* "$folder/SHA256SUMS"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd build/package && cpack -G DEB -B "$work/deb" >/dev/null)
cp "$work"/deb/*.deb "$folder"
name=bulkhead-$version-linux-$(uname -m)
cmake --install build/package --prefix "$work/$name" --strip >/dev/null
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$work" -c "$name" | gzip -n >"$folder/$name.tar.gz"
scripts/sbom.py "$program" "$version" >"$folder/bulkhead-$version.spdx.json"
(cd "$folder" && sha256sum bulkhead* >SHA256SUMS)
ls "$folder"
