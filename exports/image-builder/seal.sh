#!/bin/bash
# Takes identity and leftovers away, then what the build itself has brought; Image Builder's own script comes after.
set -euo pipefail
# shellcheck source=/dev/null
. /var/lib/ingot-build/settings

cd "$SOURCE"
"$VENV/bin/ansible-playbook" --inventory localhost, --connection local --extra-vars "@$ROOT/variables.json" \
  --extra-vars '{"ingot_roles": ["sysprep"], "ingot_without": []}' playbooks/image.yml
cd /
touch "$ROOT/sealed"
mapfile -t tools <"$ROOT/tools"
# These two refuse to remove what something else has come to need.
if [ "${#tools[@]}" -eq 0 ]; then
  echo 'the base image had all that was needed'
elif command -v dnf >/dev/null; then
  rpm --erase "${tools[@]}"
else
  dpkg --purge "${tools[@]}"
fi
# What they have just written there.
find /var/log -type f -newer "$ROOT/sealed" -delete
rm -rf "$ROOT"
