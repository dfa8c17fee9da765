#!/usr/bin/env bash
# The bit tests of the kernels under valgrind, on the scalar and AVX2 paths: it does not know AVX-512, so those are what the program finds.
#   scripts/test_valgrind.sh
# The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v valgrind >/dev/null; then
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends valgrind >&2
fi
scripts/build.sh release bulkhead_engines_llama_kernels_test
log=build/valgrind.log
status=0
# Only tests that do not enter ggml, which is compiled for this very processor.
valgrind --error-exitcode=9 --quiet build/release/tests/bulkhead_engines_llama_kernels_test \
  --gtest_filter='*MatmulBits*:*MatmulAgainst*:*Packing*:*AttentionBits*:Sets/GatedUnit.*' >"$log" 2>&1 || status=$?
grep -E '^==|FAILED|Failure' "$log" >&2 || true
passed=$(grep -c '^\[       OK' "$log" || true)
failed=$(grep -c '^\[  FAILED  \].*ms)$' "$log" || true)
if ! grep -q 'OK.*avx2' "$log" || grep -q 'OK.*avx512' "$log"; then
  echo "test_valgrind: AVX2 was not what ran" >&2
  status=1
fi
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
echo "$passed passed, $failed failed"
exit "$status"
