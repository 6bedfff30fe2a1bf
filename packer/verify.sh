#!/bin/sh
# Runs the suite on the instance that Packer has logged in to, with Packer's own key; keeps what it says, the manifest,
# which packages there are, and what takes the space before it is an image, or the time when the image boots.
set -eu
case $SOURCE in
  check) target=ami question=boot ;;
  *) target=instance question=space ;;
esac
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT INT TERM
(umask 077 && printf '%s\n' "$SSH_KEY" >"$own/key")
cat >"$own/config" <<EOF
Host image
  HostName $SSH_HOST
  Port $SSH_PORT
  User $SSH_USER
  IdentityFile $own/key
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
EOF
"$INGOT" verify ssh://image --ssh-config "$own/config" --image "$IMAGE" --os "$SYSTEM" --arch "$ARCH" \
  --stack "$STACK" --target "$target" --json >"$FOLDER/suite-$SOURCE.json"
ssh -F "$own/config" image cat /usr/share/ingot/manifest.json >"$FOLDER/manifest.json"
# shellcheck disable=SC2029 # the command is of ingot/image/sbom.py, for a shell there
ssh -F "$own/config" image "$PACKAGES" >"$FOLDER/packages.tsv"
# shellcheck disable=SC2029 # the question is of this side
ssh -F "$own/config" image "sudo -n python3 - $question" <"$PROBE" >"$FOLDER/$question.json"
