#!/bin/bash
# Runs the roles of the image, as Packer does, but from the instance itself.
set -euo pipefail
# shellcheck source=/dev/null
. /var/lib/ingot-build/settings

cd "$SOURCE"
"$VENV/bin/ansible-playbook" --inventory localhost, --connection local --extra-vars "@$ROOT/variables.json" \
  playbooks/image.yml
