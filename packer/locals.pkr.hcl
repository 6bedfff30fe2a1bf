locals {
  root   = abspath("${path.root}/..")
  images = yamldecode(file("${local.root}/catalog/images.yml")).images
  own    = try(yamldecode(file("${var.catalog}/images.yml")).images, {})
  row    = merge(local.images, local.own)[var.image]

  lock_name = "locks/${var.stack}/${var.os}-${var.arch}.yml"
  own_lock  = "${var.catalog}/${local.lock_name}"
  lock_path = var.catalog != "" && fileexists(local.own_lock) ? local.own_lock : "${local.root}/${local.lock_name}"
  lock      = yamldecode(file(local.lock_path))

  # What the base image in EC2 brings stays as it is; sysprep comes last of all, after the suite.
  base_name  = can(local.lock.base_images[var.image]) ? var.image : try(local.row.platform, "")
  base_image = try(local.lock.base_images[local.base_name], {})
  brought    = try(local.base_image.brings, {})
  without    = concat(keys(local.brought), ["sysprep"])
  # What its package manager says, and beside it what comes of that.
  asked_file = "${var.folder}/asked.json"

  result           = var.result_image != "" ? var.result_image : "ingot/${var.image}:${var.os}-${var.arch}"
  ansible_playbook = var.ansible_playbook != "" ? var.ansible_playbook : "${local.root}/.venv/bin/ansible-playbook"
  ansible_environment = [
    "ANSIBLE_COLLECTIONS_PATH=${local.root}/build",
    "ANSIBLE_CALLBACKS_ENABLED=ingot.ml.progress",
    "ANSIBLE_REMOTE_TMP=/dev/shm/ingot",
    "ANSIBLE_NOCOLOR=1",
    "INGOT_EVENTS=${var.events}",
  ]
  ansible_inventory = "{{ .HostAlias }} ansible_host={{ .Host }} ansible_user={{ .User }} ansible_port={{ .Port }}\n"
  in_container = {
    ansible_host               = var.container_name
    ansible_connection         = "docker"
    ansible_python_interpreter = "/usr/bin/python3"
  }
  on_instance = {
    ansible_become             = true
    ansible_python_interpreter = "/usr/bin/python3"
  }
  # The key is on the instance while roles run, in memory.
  signing = { for name, value in {
    ingot_signing_key         = var.signing_key
    ingot_signing_certificate = var.signing_certificate
  } : name => value if var.signing_key != "" }
  builders   = yamldecode(file("${local.root}/catalog/builders.yml")).builders
  build_tags = { "Name" = var.ami_name, "ingot:build" = var.build_id }

  # In memory, so that the mount leaves no folder behind in the image: wheels. apt's folder is there anyway.
  volumes = merge(
    var.apt_archives != "" ? { (var.apt_archives) = "/var/cache/apt/archives" } : {},
    var.wheels != "" ? { (var.wheels) = "/dev/shm/ingot-wheels" } : {},
    var.mirror != "" ? { (var.mirror) = "/dev/shm/ingot-mirror" } : {},
    var.apt_sources != "" ? { (var.apt_sources) = "/etc/apt/sources.list" } : {},
  )
}
