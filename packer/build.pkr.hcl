build {
  name    = var.image
  sources = ["source.docker.image"]

  source "source.amazon-ebs.image" {
    name       = "image"
    source_ami = var.base_ami
  }

  # The finished AMI, started to be verified; nothing is made of it.
  source "source.amazon-ebs.image" {
    name            = "check"
    source_ami      = var.ami
    skip_create_ami = true
  }

  # Before roles, and before the suite on the finished AMI.
  provisioner "shell" {
    only            = ["amazon-ebs.image", "amazon-ebs.check"]
    script          = "${local.root}/packer/ready.sh"
    execute_command = "sudo -n env LIMIT=${var.ready_seconds} sh {{ .Path }}"
  }

  # What the system's own package manager would install goes into the lock, which is complete before roles run.
  provisioner "ansible" {
    only                    = ["amazon-ebs.image"]
    command                 = local.ansible_playbook
    playbook_file           = "${local.root}/playbooks/asked.yml"
    use_proxy               = false
    skip_version_check      = true
    inventory_file_template = local.ansible_inventory
    ansible_env_vars        = local.ansible_environment
    extra_arguments = [
      "--extra-vars", jsonencode(local.on_instance),
      "--extra-vars", jsonencode({
        ingot_roles   = local.row.roles
        ingot_without = local.without
        ingot_brought = local.brought
        ingot_lock    = local.lock_path
        ingot_base    = local.base_name
        asked_frozen  = var.frozen
        asked_file    = local.asked_file
      }),
    ]
  }

  provisioner "shell-local" {
    only = ["amazon-ebs.image"]
    inline = [join(" ", concat(
      ["'${var.ingot}' lock asked '${var.image}' '${local.asked_file}'"],
      ["--os '${var.os}' --arch '${var.arch}' --stack '${var.stack}'"],
      var.frozen ? ["--frozen"] : [],
    ))]
    env = {
      INGOT_CATALOG = var.catalog
    }
  }

  provisioner "ansible" {
    except        = ["amazon-ebs.check"]
    command       = local.ansible_playbook
    playbook_file = "${local.root}/playbooks/image.yml"
    use_proxy     = false
    # Half a second each time: setup has installed it. Without it the plugin writes the names of Ansible 1.
    skip_version_check      = true
    inventory_file_template = local.ansible_inventory
    ansible_env_vars        = local.ansible_environment
    extra_arguments = [
      "--extra-vars", jsonencode(source.type == "docker" ? local.in_container : local.on_instance),
      "--extra-vars", jsonencode(local.signing),
      "--extra-vars", jsonencode({
        ingot_roles            = local.row.roles
        ingot_without          = source.type == "docker" ? [] : local.without
        ingot_brought          = { for name, part in local.brought : name => part if source.type != "docker" }
        ingot_lock             = local.lock_path
        ingot_base             = source.type == "docker" ? "" : local.base_name
        manifest_image         = var.image
        manifest_inputs_sha256 = var.inputs_sha256
        manifest_git_commit    = var.git_commit
      }),
      # The digest of the lock as it now is.
      "--extra-vars", source.type == "docker" ? jsonencode({}) : "@${dirname(local.asked_file)}/inputs.json",
    ]
  }

  # The suite, on the instance before it becomes an image, and on one that was started from the image.
  provisioner "shell-local" {
    only   = ["amazon-ebs.image", "amazon-ebs.check"]
    inline = ["'${local.root}/packer/verify.sh'"]
    env = {
      INGOT         = var.ingot
      FOLDER        = var.folder
      SOURCE        = source.name
      SSH_HOST      = build.Host
      SSH_PORT      = build.Port
      SSH_USER      = build.User
      SSH_KEY       = build.SSHPrivateKey
      IMAGE         = var.image
      SYSTEM        = var.os
      ARCH          = var.arch
      STACK         = var.stack
      INGOT_CATALOG = var.catalog
      PACKAGES      = var.packages
      PROBE         = "${local.root}/ingot/image/probe.py"
    }
  }

  # Last of all, as it takes away the key that Packer has logged in with.
  provisioner "ansible" {
    only                    = ["amazon-ebs.image"]
    command                 = local.ansible_playbook
    playbook_file           = "${local.root}/playbooks/image.yml"
    use_proxy               = false
    skip_version_check      = true
    inventory_file_template = local.ansible_inventory
    ansible_env_vars        = local.ansible_environment
    extra_arguments = [
      "--extra-vars", jsonencode(local.on_instance),
      "--extra-vars", jsonencode({
        ingot_roles     = ["sysprep"]
        ingot_lock      = local.lock_path
        sysprep_cleanup = try(local.base_image.cleanup, "")
      }),
    ]
  }

  post-processor "docker-tag" {
    only       = ["docker.image"]
    repository = split(":", local.result)[0]
    tags       = [split(":", local.result)[1]]
  }

  post-processor "manifest" {
    only       = ["amazon-ebs.image"]
    output     = "${var.folder}/packer.json"
    strip_path = true
  }
}
