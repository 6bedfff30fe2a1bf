#!/bin/bash
# Looks whether the base image's own volume is the large one, and installs a Python for Ansible and the suite.
set -euo pipefail
# shellcheck source=/dev/null
. /var/lib/ingot-build/settings

# Under another device's name the volume of the template would be a second one.
partition=$(realpath "/sys/dev/block/$(mountpoint --fs-devno /)")
disk=$partition
if [ -e "$partition/partition" ]; then disk=$(dirname "$partition"); fi
gib=$(($(cat "$disk/size") / 2 / 1024 / 1024))
if [ "$gib" -lt "$VOLUME_GIB" ]; then
  echo "error: the root volume has $gib GiB, not $VOLUME_GIB: RootDevice is not the base image's root device" >&2
  exit 1
fi

listed() {
  if command -v dnf >/dev/null; then
    rpm --query --all --queryformat '%{NAME}\n' | sort --unique
  else
    # shellcheck disable=SC2016 # dpkg-query's own words
    dpkg-query --show --showformat '${Package}\n' | sort --unique
  fi
}
listed >"$ROOT/before"
read -r -a packages <<<"$PYTHON_PACKAGES"
if command -v dnf >/dev/null; then
  dnf install --quiet --assumeyes --setopt install_weak_deps=False "${packages[@]}"
else
  export DEBIAN_FRONTEND=noninteractive
  apt-get -o DPkg::Lock::Timeout=300 update --quiet
  apt-get -o DPkg::Lock::Timeout=300 install --quiet --yes --no-install-recommends "${packages[@]}"
fi
# What the last step removes.
listed | comm -13 "$ROOT/before" - >"$ROOT/tools"
