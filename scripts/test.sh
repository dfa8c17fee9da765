#!/usr/bin/env bash
# All tests of the core tier, in release; what they need is installed, built and pulled first.
#   scripts/test.sh [--all] [--tier TIER ...] [--no-core]
#     --tier: that tier too; --all: all of them; --no-core: the tiers alone
# Tiers: dev (fast tests, ASan and UBSan), clang (fast tests, each file compiled by itself), tsan,
# tidy, arm, valgrind, fuzz, workers (engines of other frameworks, clients and page of the server),
# models (real models at full length), models-dev (real models, ASan and UBSan).
# The last line is `N passed, N failed, N skipped`; a skip that tests/allowed_skips.txt does not list
# is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
known_tiers=(dev clang tsan tidy arm valgrind fuzz workers models models-dev)
tiers=()
core=1
while [ $# -gt 0 ]; do
  case $1 in
    --all) tiers=("${known_tiers[@]}") ;;
    --no-core) core= ;;
    --tier) tiers+=("${2:-}"); shift ;;
    *) echo "test: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
for tier in ${tiers[@]+"${tiers[@]}"}; do
  case " ${known_tiers[*]} " in *" $tier "*) ;; *) echo "test: unknown tier \"$tier\"; known: ${known_tiers[*]}" >&2; exit 2 ;; esac
done

cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
reports=$PWD/build/reports
rm -rf "$reports"
mkdir -p "$reports"
step() { printf '\n== %s\n' "$*" >&2; }
die() { echo "test: $*" >&2; exit 1; }

step setup
if [ ${#tiers[@]} -gt 0 ]; then scripts/setup.sh --all || die "setup failed"; else scripts/setup.sh --tests || die "setup failed"; fi

# A named check that is not a ctest: its outcome becomes a one-line report of its own.
check() {
  local name=$1
  shift
  step "$name"
  if "$@" >"$reports/$name.log" 2>&1; then echo pass; else tail -40 "$reports/$name.log" >&2; echo fail; fi >"$reports/$name.check"
  cat "$reports/$name.check" >&2
}

suite() {  # suite PRESET [ctest arguments]; its report is named for suite_name where that is set
  local preset=$1 report=${suite_name:-$1}
  shift
  step "build $preset"
  scripts/build.sh "$preset" >"$reports/build-$preset.log" 2>&1 || { tail -40 "$reports/build-$preset.log" >&2; die "the $preset build failed"; }
  [ "$preset" = release ] && { step "models"; for model in gemma-3-270m qwen2.5-coder-0.5b; do
    build/release/src/bulkhead pull "$model" >&2 || die "pulling $model failed"; done; }
  step "ctest $preset"
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j2 --output-junit "$reports/ctest-$report.xml" "$@" >"$reports/ctest-$report.log" 2>&1
  grep -E 'Failed|\*\*\*' "$reports/ctest-$report.log" >&2
  tail -3 "$reports/ctest-$report.log" >&2
}

if [ -n "$core" ]; then
  suite release -LE 'workers|full'
  check format scripts/format.sh --check
  check hf-token-counts scripts/reference_check.sh
fi
for tier in ${tiers[@]+"${tiers[@]}"}; do
  case $tier in
    dev) ASAN_OPTIONS=detect_leaks=1 suite dev -L fast -LE release_only ;;
    clang) suite clang -L fast ;;
    tsan) TSAN_OPTIONS=halt_on_error=1 suite tsan -L fast -LE release_only ;;
    tidy) check tidy scripts/tidy.sh; check workflows scripts/workflow_check.sh ;;
    arm) check arm scripts/test_arm.sh ;;
    workers) check workers-python scripts/workers_check.sh; suite_name=workers suite release -L workers ;;
    models) suite_name=models suite release -L full ;;
    models-dev)
      # Not the whole program, nor the bits of whole models: minutes each, and tested on small ones.
      ASAN_OPTIONS=detect_leaks=1 suite_name=models-dev suite dev -L 'model|full' \
        -LE release_only -E '^cli\..*Model|ModelInvariance|ModelKernels|ModelLlamaAttention' ;;
    valgrind) check valgrind scripts/test_valgrind.sh ;;
    fuzz) check fuzz scripts/test_fuzz.sh ;;
  esac
done
step summary
python3 scripts/summarize_tests.py "$reports" tests/allowed_skips.txt
