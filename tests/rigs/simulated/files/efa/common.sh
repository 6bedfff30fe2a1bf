#!/bin/bash
# Simulated. What differs between the families of systems.

# shellcheck source=/dev/null
. /etc/os-release
TYPE=rpm
case "${ID}" in debian | ubuntu) TYPE=deb ;; esac

# The folder of a system: UBUNTU2404, ALINUX2023 and ROCKYLINUX9 were seen; RHEL9 is called as RHEL8 was, in 1.20.
package_folder() {
  case "${ID}-${VERSION_ID}" in
    ubuntu-*) echo "DEBS/UBUNTU${VERSION_ID//./}/$(uname -m)" ;;
    debian-*) echo "DEBS/DEBIAN${VERSION_ID}/$(uname -m)" ;;
    amzn-*) echo "RPMS/ALINUX${VERSION_ID}/$(uname -m)" ;;
    rocky-*) echo "RPMS/ROCKYLINUX${VERSION_ID%%.*}/$(uname -m)" ;;
    rhel-*) echo "RPMS/RHEL${VERSION_ID%%.*}/$(uname -m)" ;;
  esac
}

if [ "${TYPE}" = deb ]; then
  export DEBIAN_FRONTEND=noninteractive
  installed_kernels() {
    dpkg-query -W --showformat='${Package}\n' 'linux-image-*' 2>/dev/null | grep -Ev 'linux-image-[[:alpha:]]' |
      sed 's/linux-image-//'
  }
  install() { apt-get install -y "$@"; }
  install_files() { apt-get install -y "$@"; }
  install_headers() { install "linux-headers-$1"; }
  package_names() { cut -d _ -f 1; }
  remove() { apt-get remove -y --purge "$@"; }
  is_installed() { dpkg-query -W --showformat='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
  has_file() {
    local name
    name=$(basename "$1" .deb)
    is_installed "${name%%_*}" &&
      dpkg --compare-versions "$(echo "${name}" | cut -d _ -f 2)" le \
        "$(dpkg-query -W --showformat='${Version}' "${name%%_*}")"
  }
  update_initramfs() { update-initramfs -u -k all; }
else
  installed_kernels() { rpm -q kernel --qf '%{VERSION}-%{RELEASE}.%{ARCH}\n' | grep -v 'not installed'; }
  install() { for each in "$@"; do rpm -q "${each}" >/dev/null || command -v lspci >/dev/null || return 1; done; }
  install_files() {
    [ "$1" != --allow-downgrades ] || shift
    rpm -U --oldpackage --replacepkgs "$@"
  }
  install_headers() { dnf -y install "kernel-devel-$1"; }
  package_names() { cat; }
  remove() { rpm -e "$@"; }
  is_installed() { rpm -q "$1" >/dev/null 2>&1; }
  has_file() { rpm -q "$(rpm -qp "$1")" >/dev/null 2>&1; }
  update_initramfs() { dracut -f; }
fi
