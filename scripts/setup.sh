#!/usr/bin/env bash
# Installs what building and testing Bulkhead needs. Does nothing when all of it is there.
#   scripts/setup.sh [--tests] [--all]     --tests: also test libraries and a browser; --all: also clang, tidy, cross tools
set -euo pipefail

packages=(g++ cmake ninja-build ccache git patch pkg-config python3 python3-pip python3-venv nodejs npm ca-certificates
  libfmt-dev libspdlog-dev libcli11-dev libssl-dev libcurl4-openssl-dev libxxhash-dev libboost-dev libsqlite3-dev libicu-dev libedit-dev)
test_packages=(libgtest-dev libgmock-dev librapidcheck-dev chromium clang-format-16 tmux)
all_packages=(clang-16 clang-tidy-16 clang-tools-16 libclang-rt-16-dev)
for argument in "$@"; do
  case $argument in
    --tests) packages+=("${test_packages[@]}") ;;
    --all) packages+=("${test_packages[@]}" "${all_packages[@]}") ;;
    *) echo "setup: unknown argument $argument" >&2; exit 2 ;;
  esac
done

if [ "$(uname)" = Darwin ]; then  # untested
  brew install --quiet cmake ninja ccache fmt spdlog cli11 openssl curl xxhash boost sqlite icu4c googletest node python3
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "setup: this script knows Debian and Ubuntu (apt-get) and macOS (brew); install by hand: ${packages[*]}" >&2
  exit 2
fi
missing=()
for package in "${packages[@]}"; do
  # A tool of another origin counts too: nodejs, npm or python may have been installed without apt.
  case $package in
    nodejs) command -v node >/dev/null && continue ;;
    npm | git | patch | cmake | python3 | g++) command -v "$package" >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
    python3-venv) python3 -c 'import venv, ensurepip' 2>/dev/null && continue ;;
  esac
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq >&2
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
