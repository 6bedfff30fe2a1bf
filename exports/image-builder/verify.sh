#!/bin/bash
# Runs the suite on this machine: an `instance` that becomes an image, or one started from the `ami`.
set -euo pipefail
# shellcheck source=/dev/null
. /var/lib/ingot-build/settings

cd "$SOURCE"
"$VENV/bin/python" -c 'from ingot.cli.main import main; main()' verify local:// --target "$TARGET" \
  --image "$IMAGE" --os "$SYSTEM" --arch "$ARCH" --stack "$STACK"
