#!/usr/bin/env bash
# The isolation campaign in full: random traces, canaries, timing and guards on one model, and the settings that give strictness up, with the
# differences they show.   scripts/campaign_verify.sh OUT_FOLDER MODEL [check ...]     checks: traces timing guards loose (all of them)
# Leave the machine alone while `timing` runs. BULKHEAD_TRACES, BULKHEAD_PAIRS and BULKHEAD_SECRETS make it smaller.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
model=$2
shift 2
checks=("$@")
[ ${#checks[@]} -gt 0 ] || checks=(traces timing guards loose)
mkdir -p "$out"
scripts/setup.sh
scripts/build.sh program bulkhead_program
program=build/program/src/bulkhead
"$program" pull "$model" >&2

verify() {  # verify NAME EXIT_CODES [flags]: the report, with what it was made on, written aside first
  local file=$out/verify-$1-$model.json codes=$2 code=0
  shift 2
  "$program" verify -m "$model" -t 1 "$@" --json >"$file.part" || code=$?
  case " $codes " in *" $code "*) ;; *) echo "campaign_verify: verify $* ended with $code" >&2; exit 1 ;; esac
  python3 - "$file" "$(git rev-parse --short HEAD)" "$code" "verify -m $model -t 1 $*" <<'PY'
import json, os, platform, sys
path, commit, code, command = sys.argv[1:]
with open(path + ".part", encoding="utf-8") as part:
    report = json.load(part)
cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "?")
report["made"] = {"command": f"bulkhead {command} --json", "exit_code": int(code), "commit": commit, "cpu": cpu,
                  "cores": os.cpu_count(), "system": platform.platform()}
with open(path + ".part", "w", encoding="utf-8") as part:
    json.dump(report, part, indent=1)
    part.write("\n")
os.replace(path + ".part", path)
PY
}

for check in "${checks[@]}"; do
  case $check in
    traces) verify traces 0 --traces "${BULKHEAD_TRACES:-300}" --secrets "${BULKHEAD_SECRETS:-200}" ;;
    timing) verify timing "0 7" --traces 1 --secrets 1 --timing "${BULKHEAD_PAIRS:-2000}" ;;
    guards) for guard in pages poison; do verify "$guard" 0 --traces "${BULKHEAD_TRACES:-30}" --guard "$guard"; done ;;
    loose)
      verify mask "0 7" --traces "${BULKHEAD_TRACES:-30}" --grade mask
      verify fast "0 7" --traces "${BULKHEAD_TRACES:-30}" --isolation fast
      verify stock "0 7" --traces "${BULKHEAD_TRACES:-30}" --kernels stock ;;
    *) echo "campaign_verify: unknown check \"$check\"" >&2; exit 2 ;;
  esac
done
