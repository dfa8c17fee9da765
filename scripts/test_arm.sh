#!/usr/bin/env bash
# Cross-compiles the kernels for 64-bit Arm and runs their bit tests under an emulator: NEON and i8mm against scalar.
#   scripts/test_arm.sh
# Needs, and with apt-get installs, g++-12-aarch64-linux-gnu, qemu-user and googletest. The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."

compiler=aarch64-linux-gnu-g++-12
if ! command -v "$compiler" >/dev/null || ! command -v qemu-aarch64 >/dev/null || [ ! -d /usr/src/googletest ]; then
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -qq >&2
  $sudo apt-get install -y -qq --no-install-recommends g++-12-aarch64-linux-gnu qemu-user googletest >&2
fi

out=build/arm
room=src/engines/llama/kernels
test_sources=tests/engines/llama/kernels
mkdir -p "$out"
export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/ccache}
ccache=$(command -v ccache || true)
common=(-std=c++20 -O2 -DBULKHEAD_KERNELS_ARM -Iinclude -Isrc -Itests -I"$test_sources" -Wall -Wextra -Wpedantic -Wconversion
  -Wsign-conversion -Wno-missing-field-initializers -Werror)

# The flags of an instruction set, as the build has them.
flags() { sed -n "s/^set(BULKHEAD_KERNEL_FLAGS_$1 \(.*\))$/\1/p" cmake/BulkheadKernels.cmake; }

objects=()
compile() {  # compile SOURCE [flags]
  local source=$1
  shift
  local object=$out/$(basename "$source").o
  $ccache "$compiler" "${common[@]}" "$@" -c "$source" -o "$object"
  objects+=("$object")
}

for source in "$room"/*_scalar.cpp "$room"/*_neon.cpp "$room"/*_i8mm.cpp; do
  set_name=${source##*_}
  # Words of flags, one by one. g++ 12 warns of uninitialized variables inside its own intrinsics.
  read -ra words <<<"$(flags "${set_name%.cpp}")"
  compile "$source" "${words[@]}" -O3 -ffp-contract=off -Wno-uninitialized -Wno-maybe-uninitialized
done
for source in matmul packed_matrix weight_blocks attention gated_unit instruction_set; do compile "$room/$source.cpp"; done
for test in matmul_bits attention_bits gated_unit; do compile "$test_sources/${test}_test.cpp"; done
common=(-std=c++20 -O1 -I/usr/src/googletest/googletest/include -I/usr/src/googletest/googletest)
compile /usr/src/googletest/googletest/src/gtest-all.cc
compile /usr/src/googletest/googletest/src/gtest_main.cc
"$compiler" "${objects[@]}" -lpthread -o "$out/kernels_test"

status=0
qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max "$out/kernels_test" >"$out/log" 2>&1 || status=$?
grep -E 'FAILED|Failure' "$out/log" >&2 || true
passed=$(grep -c '^\[       OK' "$out/log" || true)
failed=$(grep -c '^\[  FAILED  \].*ms)$' "$out/log" || true)
# Both sets must have been there: an emulator without i8mm would test nothing of it.
for set in neon_dotprod neon_i8mm; do
  if ! grep -q "OK.*Q8_0_$set" "$out/log"; then
    echo "test_arm: nothing ran for $set" >&2
    status=1
  fi
done
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
  tail -5 "$out/log" >&2
  failed=1
fi
echo "$passed passed, $failed failed"
exit "$status"
