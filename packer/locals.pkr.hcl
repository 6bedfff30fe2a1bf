locals {
  root   = abspath("${path.root}/..")
  images = yamldecode(file("${local.root}/catalog/images.yml")).images
  row    = local.images[var.image]

  lock_path = "${local.root}/locks/${var.stack}/${var.os}-${var.arch}.yml"
  lock      = yamldecode(file(local.lock_path))

  result           = var.result_image != "" ? var.result_image : "ingot/${var.image}:${var.os}-${var.arch}"
  ansible_playbook = var.ansible_playbook != "" ? var.ansible_playbook : "${local.root}/.venv/bin/ansible-playbook"
  # In memory, so that the mount leaves no folder behind in the image: wheels. apt's folder is there anyway.
  volumes = merge(
    var.apt_archives != "" ? { (var.apt_archives) = "/var/cache/apt/archives" } : {},
    var.wheels != "" ? { (var.wheels) = "/dev/shm/ingot-wheels" } : {},
    var.mirror != "" ? { (var.mirror) = "/dev/shm/ingot-mirror" } : {},
    var.apt_sources != "" ? { (var.apt_sources) = "/etc/apt/sources.list" } : {},
  )
}
