#!/usr/bin/env bash
# Tests what scripts/packages.sh made in a fresh Debian root: the .deb installs, runs and goes without a trace; the tarball runs from a
# folder. Needs root and Debian's mirror.   scripts/test_packages.sh [FOLDER]     default: build/packages
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(cd "${1:-build/packages}" && pwd)
command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >&2
root=$(mktemp -d)
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT
echo "test_packages: making a Debian root" >&2
debootstrap --variant=minbase bookworm "$root" ${BULKHEAD_DEBIAN_MIRROR:+"$BULKHEAD_DEBIAN_MIRROR"} >/dev/null  # else from its own default
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"
apt-config dump | grep "^Acquire" >"$root/etc/apt/apt.conf.d/10host"  # a mirror, a proxy
mkdir "$root/given"
cp "$folder"/bulkhead* "$folder/SHA256SUMS" "$root/given"
cp scenarios/hospital_pharmacy.json "$root/given"
chroot "$root" bash -c 'cd /given && sha256sum -c --quiet SHA256SUMS'

files() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./given -o -path ./tmp -o -path ./var/log -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg \) -prune -o -print | sort); }
run_it() {  # run_it PROGRAM
  chroot "$root" "$1" --version >&2
  chroot "$root" bash -c "cd /tmp && rm -rf out && $1 run /given/hospital_pharmacy.json --engine fake -n 4 --out out -q --json | grep -q '\"complete\": true'"
  chroot "$root" "$1" doctor >&2
}

# What it depends on, first: only what the package itself leaves behind counts.
dependencies=$(dpkg-deb -f "$folder"/bulkhead_*.deb Depends | sed 's/([^)]*)//g; s/,/ /g')
chroot "$root" bash -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $dependencies" >/dev/null
files >"$root/given/before"
chroot "$root" bash -c 'dpkg -i /given/bulkhead_*.deb' >/dev/null
run_it bulkhead
chroot "$root" bash -c 'test -s /usr/share/man/man1/bulkhead-serve.1'
chroot "$root" bash -c 'dpkg --purge bulkhead' >/dev/null
files >"$root/given/after"
diff "$root/given/before" "$root/given/after"
chroot "$root" bash -c 'cd /given && tar -xzf bulkhead-*.tar.gz && mv bulkhead-*/ /opt/anywhere'
run_it /opt/anywhere/bin/bulkhead
echo "test_packages: installed, ran, and went without a trace" >&2
