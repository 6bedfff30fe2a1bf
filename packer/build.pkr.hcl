build {
  name    = var.image
  sources = ["source.docker.image"]

  provisioner "ansible" {
    command       = local.ansible_playbook
    playbook_file = "${local.root}/playbooks/image.yml"
    use_proxy     = false
    ansible_env_vars = [
      "ANSIBLE_COLLECTIONS_PATH=${local.root}/build",
      "ANSIBLE_CALLBACKS_ENABLED=ingot.ml.progress",
      "ANSIBLE_REMOTE_TMP=/dev/shm/ingot",
      "ANSIBLE_NOCOLOR=1",
      "INGOT_EVENTS=${var.events}",
    ]
    extra_arguments = [
      "--extra-vars", "ansible_host=${var.container_name} ansible_connection=docker ansible_python_interpreter=/usr/bin/python3",
      "--extra-vars", jsonencode({
        ingot_roles            = local.row.roles
        ingot_lock             = local.lock_path
        manifest_image         = var.image
        manifest_inputs_sha256 = var.inputs_sha256
        manifest_git_commit    = var.git_commit
      }),
    ]
  }

  post-processor "docker-tag" {
    repository = split(":", local.result)[0]
    tags       = [split(":", local.result)[1]]
  }
}
