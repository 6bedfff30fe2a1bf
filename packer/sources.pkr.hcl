# The container gets no init: roles put things onto the disk, and the finished disk is what boots.
source "docker" "image" {
  image   = var.base_image
  pull    = false
  commit  = true
  volumes = local.volumes
  run_command = [
    "-d", "-i", "--name", var.container_name, "--label", "ingot=1", "--network", var.network,
    "--", "{{.Image}}", "/bin/sh",
  ]
  changes = [
    "LABEL ingot=1",
    "LABEL ingot.image=${var.image}",
    "LABEL ingot.lock=${local.lock.stack}/${local.lock.os}-${local.lock.arch}",
    "LABEL ingot.inputs=${var.inputs_sha256}",
    "CMD [\"/bin/bash\"]",
  ]
}
