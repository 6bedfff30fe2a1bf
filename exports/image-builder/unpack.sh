#!/bin/bash
# Unpacks the checkout if it is the one that the template was written from, and installs what its programs need.
set -euo pipefail
# shellcheck source=/dev/null
. /var/lib/ingot-build/settings

echo "$SOURCE_SHA256  $ROOT/source.tar.gz" | sha256sum --check
mkdir -p "$SOURCE" "$ROOT/collections/ansible_collections/ingot"
tar --extract --gzip --no-same-owner --file "$ROOT/source.tar.gz" --directory "$SOURCE"
ln -sfn "$SOURCE" "$ROOT/collections/ansible_collections/ingot/ml"

"$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --only-binary :all: \
  --require-hashes --requirement "$SOURCE/requirements/instance.txt"

# The system's own Python needs these no longer, and manifest and suite are to find what the image has.
if [ "$PYTHON" = python3 ]; then
  mapfile -t tools <"$ROOT/tools"
  if [ "${#tools[@]}" -gt 0 ]; then dpkg --purge "${tools[@]}"; fi
  : >"$ROOT/tools"
fi

cd "$SOURCE"
found=$("$VENV/bin/python" -c '
import sys
from ingot.catalog.read import read_catalog
from ingot.image.inputs import inputs_digest
from ingot.lock import select
from ingot.model.target import Target
from ingot.paths import own_catalog
image, *target = sys.argv[1:]
selection = select.image(read_catalog(own=own_catalog()), Target(*target), image, stale=True)
print(inputs_digest(selection, on_base=True))' "$IMAGE" "$STACK" "$SYSTEM" "$ARCH")
if [ "$found" != "$INPUTS" ]; then
  echo "error: this checkout has other roles or another lock than the one that the template was written from" >&2
  exit 1
fi
