#!/bin/bash
# Simulated. Behaves as AWS' efa_installer.sh does, as far as it was seen: its flags, where it looks for packages, what it
# installs, leaves out and checks in which order, and what it writes. Read on 2026-11-25:
# - the whole installer of 1.20, in public repositories (its text begins "Installation script for the Elastic Fabric
#   Adapter"): flags, folders, order, version file, kernel check;
# - 1.49.0's lists of what --minimal keeps, from its package_list.txt and its lines 908-916;
# - flags of 1.48 and later: awslabs/awsome-distributed-ai, which gives them from 1.48 on only.
# It holds packages of one system and architecture alone.
set -u

# shellcheck source=/dev/null
. ./env.sh
echo "= Starting Amazon Elastic Fabric Adapter Installation Script ="
echo "= EFA Installer Version: ${EFA_INSTALLER_VERSION} ="
if ! [ -e common.sh ]; then
  echo "Please cd into the installer directory." >&2
  exit 1
fi
# shellcheck source=/dev/null
. ./common.sh

LIST=/opt/amazon/efa_installed_packages
KMOD=1 LIMITS=1 VERIFY=1 MINIMAL=0 MPI=1 PLUGIN=1 UNATTENDED=0 UNINSTALL=0
INSTALLED=()

usage() {
  cat <<END
usage: $(basename "$0") [options]

Options:
 -d, --debug-packages	Install debug packages
 -u, --uninstall	Uninstall EFA packages
 -y, --yes		Run installer without prompting for confirmation
 -n, --no-verify	Skip EFA device verification and test
 -l, --skip-limit-conf	Skip EFA limit configuration
 -k, --skip-kmod	Skip EFA kmod installation
 -g, --enable-gdr	No effect
 -m, --minimal		Only install kernel module and rdma-core
END
}

since() {
  [ "$(printf '%s\n%s\n' "$1" "${EFA_INSTALLER_VERSION}" | sort -V | head -n 1)" = "$1" ]
}

long=debug-packages,no-verify,uninstall,yes,skip-limit-conf,skip-kmod,minimal,enable-gdr
since 1.30.0 && long+=,mpi:,skip-mpi,skip-plugin
since 1.48.0 && long+=,build-ngc,disable-ngc,disable-build-ngc,check-signatures
if ! given=$(getopt -o :dnuylkmg --long "${long}" -- "$@"); then
  usage
  exit 1
fi
eval set -- "${given}"
while [ $# -gt 0 ]; do
  case "$1" in
    -y | --yes) UNATTENDED=1 ;;
    -u | --uninstall) UNINSTALL=1 ;;
    -n | --no-verify) VERIFY=0 ;;
    -l | --skip-limit-conf) LIMITS=0 ;;
    -k | --skip-kmod) KMOD=0 ;;
    -m | --minimal) MINIMAL=1 ;;
    --skip-mpi) MPI=0 ;;
    --skip-plugin) PLUGIN=0 ;;
    -g | --enable-gdr | --build-ngc | --disable-ngc | --disable-build-ngc | --check-signatures) ;;
    --mpi) shift ;;
    --) ;;
    *)
      echo "$1: not simulated" >&2
      exit 1
      ;;
  esac
  shift
done

if [ "$(id -u)" -ne 0 ]; then
  echo "This script must be run as root." >&2
  exit 1
fi
if [ ${UNATTENDED} -eq 0 ]; then
  read -r -p "This script will install the EFA kernel driver and required user space packages. Continue? " answer
  [ "${answer}" = y ] || exit 1
fi
base=$(package_folder)
if [ -z "${base}" ] || ! [ -d "${base}" ]; then
  echo "Error: package directory ${base} does not exist." >&2
  exit 1
fi

if [ ${KMOD} -eq 1 ]; then
  mapfile -t kernels < <(installed_kernels)
  if [ "${#kernels[@]}" -eq 0 ]; then
    echo "Error: unable to detect installed kernels, exiting." >&2
    exit 1
  fi
fi

if [ ${UNINSTALL} -eq 1 ]; then
  if ! [ -f "${LIST}" ]; then
    echo "Error: EFA is not installed, exiting." >&2
    exit 1
  fi
  echo "== Uninstalling EFA packages =="
  # shellcheck disable=SC2046
  if ! remove $(grep -v '^#' "${LIST}" | tr ' ' '\n' | package_names); then
    echo "Error: failed to uninstall EFA packages, please remove them manually." >&2
    exit 1
  fi
  rm "${LIST}"
  echo "EFA uninstall complete."
  exit 0
fi

paths=("${base}"/*."${TYPE}" "${base}"/rdma-core/*."${TYPE}")
[ ${KMOD} -eq 1 ] && paths+=("${base}"/efa-driver/*."${TYPE}")
for path in "${paths[@]}"; do
  if ! grep -Fxq "${path}" package_list.txt; then
    echo "Error: unknown package found: ${path}"
    echo "Please remove unknown packages from the RPMS/DEBS directory trees"
    exit 1
  fi
done

if [ ${LIMITS} -eq 0 ] && is_installed efa-config; then
  echo "Skip EFA limits set, uninstalling efa-config"
  remove efa-config || exit 1
fi

echo "== Installing EFA dependencies =="
if [ ${KMOD} -eq 1 ]; then
  for kernel in "${kernels[@]}"; do
    if ! install_headers "${kernel}" && [ "${kernel}" = "$(uname -r)" ]; then
      echo "The kernel header of the current kernel version cannot be installed" >&2
      exit 1
    fi
  done
fi
install pciutils || exit 1

echo "== Installing EFA packages =="
rdma=() others=()
for path in "${paths[@]}"; do
  name=$(basename "${path}" ".${TYPE}")
  case "${name}" in
    efa-config*) [ ${LIMITS} -eq 1 ] || continue ;;
    efa-profile* | libefa*) ;;
    efa*) [ ${KMOD} -eq 1 ] || continue ;;
  esac
  case "${name}" in
    libfabric* | openmpi* | libnccl-ofi* | efa-profile*)
      if [ ${MINIMAL} -eq 1 ]; then
        echo "skipping ${name} because of minimal installation"
        continue
      fi
      ;;
  esac
  case "${name}" in
    openmpi*) [ ${MPI} -eq 1 ] || continue ;;
    libnccl-ofi*) [ ${PLUGIN} -eq 1 ] || continue ;;
  esac
  INSTALLED+=("${name}")
  if has_file "${path}"; then
    echo "${name} already installed"
    continue
  fi
  if [[ "${path}" = *rdma-core* ]]; then
    rdma+=("./${path}")
  else
    others+=("./${path}")
  fi
done
if [ "${#rdma[@]}" -ne 0 ] && ! install_files --allow-downgrades "${rdma[@]}"; then
  echo "Error: Failed to install packages." >&2
  exit 1
fi
if [ "${#others[@]}" -ne 0 ] && ! install_files "${others[@]}"; then
  echo "Error: Failed to install packages." >&2
  exit 1
fi
mkdir -p /opt/amazon
cat >"${LIST}" <<END
# EFA installer version: ${EFA_INSTALLER_VERSION}
# Debug packages installed: no
# Packages installed:
${INSTALLED[*]}
END

if [ ${KMOD} -eq 1 ]; then
  echo "Updating boot ramdisk"
  if ! update_initramfs; then
    echo "Error: failed to generate new initramfs image, reboot OS might load old EFA kernel modules." >&2
    exit 1
  fi
  if [ "${TYPE}" = deb ] && [ -z "$(find "/lib/modules/$(uname -r)" -type f -name 'ib_uverbs.ko*')" ]; then
    echo "== Kernel version checking =="
    echo "Your Ubuntu AMI launches with a kernel which does not include the ib_uverbs kernel module"
    exit 1
  fi
  echo "Reloading EFA kernel module"
  modprobe efa
fi
if [ ${VERIFY} -eq 1 ] && [ ${MINIMAL} -eq 0 ] && ! lspci -n | grep -q 1d0f:efa; then
  echo "EFA device not detected, skipping test."
fi
echo "EFA installation complete."
