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
    # Without this line the plugin writes [""], which programs other than Docker try to run.
    "ENTRYPOINT []",
    "CMD [\"/bin/bash\"]",
  ]
}

# What is made carries the build's id, so that what a killed build leaves is found; the AMI's own tags say what is in it.
source "amazon-ebs" "image" {
  # The product is the limit: an image may take two hours. The plugin first looks after delay_seconds whether an instance
  # runs or has stopped, after 15 s whether an image is there, then ever less often, at least every two minutes.
  aws_polling {
    delay_seconds = 2
    max_attempts  = 3600
  }
  # Of a call that EC2 answers with a server's error, such as a lack of capacity: at most a minute. 10, the default, takes
  # two minutes for each instance type.
  max_retries = 7

  region                     = var.region
  custom_endpoint_ec2        = var.endpoint
  skip_credential_validation = var.endpoint != ""
  skip_metadata_api_check    = var.endpoint != ""

  # Spot first or on demand, as the caller tries them.
  instance_type       = length(var.spot_instance_types) == 0 ? coalesce(var.instance_type, local.builders.instance_types[var.arch][0]) : null
  spot_instance_types = length(var.spot_instance_types) == 0 ? null : var.spot_instance_types
  spot_price          = length(var.spot_instance_types) == 0 ? null : "auto"
  subnet_id           = var.subnet

  ssh_username            = coalesce(var.user, local.lock.system.login)
  ssh_timeout             = "${var.login_seconds}s"
  temporary_key_pair_type = "ed25519"
  iam_instance_profile    = var.instance_profile
  ssh_interface           = var.instance_profile != "" ? "session_manager" : "public_ip"
  # Of Session Manager's own network address nothing needs to be open to the world.
  associate_public_ip_address               = var.instance_profile == "" ? true : null
  temporary_security_group_source_public_ip = var.instance_profile == "" && var.endpoint == ""

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support = "v2.0"

  # gp3 above its base line of 125 MiB/s: what a build writes is limited by it.
  launch_block_device_mappings {
    device_name           = var.root_device
    volume_type           = "gp3"
    volume_size           = coalesce(var.volume_gib, local.builders.volume_gib)
    iops                  = 3000
    throughput            = 250
    encrypted             = true
    kms_key_id            = var.kms_key
    delete_on_termination = true
  }

  ami_name        = var.ami_name
  ami_description = "Ingot ${var.image} on ${var.os} ${var.arch}, stack ${var.stack}"
  deprecate_at    = var.deprecate_at
  tags            = var.tags
  snapshot_tags   = var.tags
  run_tags        = local.build_tags
  run_volume_tags = local.build_tags
  # The launch template of spot instances is one of the things that a killed build leaves.
  spot_tags = length(var.spot_instance_types) == 0 ? null : local.build_tags
}
