#!/bin/bash
# Runs the suite on this machine.
set -euo pipefail
# shellcheck source=/dev/null
. /var/lib/ingot-build/settings

cd "$SOURCE"
"$VENV/bin/python" -c 'from ingot.cli import main; main()' verify local:// --target ami \
  --image "$IMAGE" --os "$SYSTEM" --arch "$ARCH" --stack "$STACK"
