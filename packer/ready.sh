#!/bin/sh
# Waits until nothing but the build changes the machine: cloud-init still runs when ssh first answers, and writes apt's
# sources; apt-daily comes after it, and holds apt's lock. Runs as root; LIMIT is in seconds, for each of the two.
set -eu

refuse() {
  echo "not ready: $1" >&2
  exit 1
}

# Who holds one of the locks, as "NAME (process ID)".
holders() {
  for file in $LOCKS; do
    inode=$(stat --format=%i "$file")
    while read -r _ _ _ _ process where _; do
      case $where in
        *:"$inode") echo "$(cat "/proc/$process/comm") (process $process)" ;;
      esac
    done </proc/locks
  done | sort --unique | paste --serial --delimiters=,
}

if command -v cloud-init >/dev/null; then
  # 2 is a fault that did not stop it: https://docs.cloud-init.io/en/latest/explanation/return_codes.html
  timeout "$LIMIT" cloud-init status --wait >/dev/null && code=0 || code=$?
  case $code in
    0 | 2) ;;
    124) refuse "cloud-init has not finished after $LIMIT s" ;;
    *) refuse "cloud-init has failed at the first boot: $(cloud-init status --long | tail -n 1 | sed 's/^[[:space:]-]*//')" ;;
  esac
fi

if command -v apt-get >/dev/null; then
  LOCKS="/var/lib/apt/lists/lock /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock"
  # They would come back during the build; the next boot starts them again.
  systemctl stop 'apt-daily*.timer'
  # A service that is about to start holds no lock yet. apt waits for dpkg's locks by DPkg::Lock::Timeout, but not for
  # that of its lists.
  timeout "$LIMIT" systemd-run --quiet --wait --collect \
    --property='After=apt-daily.service apt-daily-upgrade.service' \
    python3 -c "import fcntl; [fcntl.lockf(open(file, 'a'), fcntl.LOCK_EX) for file in '$LOCKS'.split()]" ||
    refuse "apt's lock is still held after $LIMIT s by $(holders)"
fi
