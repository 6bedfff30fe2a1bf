variable "image" {
  type        = string
  description = "The image to build: a row of catalog/images.yml."
  default     = "parallelcluster"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*$", var.image))
    error_message = "An image is named in lower case, as in catalog/images.yml."
  }
}

variable "os" {
  type        = string
  description = "The operating system: a file of catalog/operating_systems."
  default     = "debian13"
  validation {
    condition     = can(regex("^[a-z0-9]+$", var.os))
    error_message = "An operating system is named as in catalog/operating_systems."
  }
}

variable "arch" {
  type        = string
  description = "The architecture, as the lock names it."
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "aarch64"], var.arch)
    error_message = "The architecture is x86_64 or aarch64."
  }
}

variable "stack" {
  type        = string
  description = "The stack whose lock is built."
  default     = "2026.11"
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", var.stack))
    error_message = "A stack is named as its file in catalog/stacks: 2026.11."
  }
}

variable "catalog" {
  type        = string
  description = "A team's own catalog, whose images and locks come before the checkout's; may be empty."
  default     = ""
}

variable "base_image" {
  type        = string
  description = "The Docker image to start from; `ingot base` makes it and prints its name."
  default     = "ingot/base:debian13-x86_64"
}

variable "result_image" {
  type        = string
  description = "The name of the finished Docker image; empty names it after image, operating system and architecture."
  default     = ""
}

variable "container_name" {
  type        = string
  description = "The name of the container in which the image is made."
  default     = "ingot-packer-build"
  validation {
    condition     = can(regex("^ingot-", var.container_name))
    error_message = "The containers of a build have names that begin with ingot-, so that leftovers can be found."
  }
}

variable "apt_archives" {
  type        = string
  description = "A folder of verified packages, under apt's own file names, that the build uses instead of downloading."
  default     = ""
}

variable "wheels" {
  type        = string
  description = "A folder of verified wheels that the build uses instead of downloading."
  default     = ""
}

variable "mirror" {
  type        = string
  description = "A folder that `ingot mirror` has made, for the container to see at /dev/shm/ingot-mirror; may be empty."
  default     = ""
}

variable "apt_sources" {
  type        = string
  description = "A file that stands in place of the container's /etc/apt/sources.list while it is made; may be empty."
  default     = ""
}

variable "network" {
  type        = string
  description = "The Docker network of the container; none where a mirror's folder makes it unnecessary."
  default     = "bridge"
}

variable "events" {
  type        = string
  description = "A file that gets one line of JSON for each task, for a program that shows progress; may be empty."
  default     = ""
}

variable "inputs_sha256" {
  type        = string
  description = "The digest of everything that decides the image, for its manifest."
  default     = ""
}

variable "git_commit" {
  type        = string
  description = "The commit that the image is built from, for its manifest."
  default     = ""
}

variable "ansible_playbook" {
  type        = string
  description = "The ansible-playbook to run; empty takes the checkout's own."
  default     = ""
}

variable "region" {
  type        = string
  description = "AMI: the region that is built in."
  default     = "us-east-1"
}

variable "endpoint" {
  type        = string
  description = "AMI: the address of an emulator of EC2, as in AWS_ENDPOINT_URL; empty is EC2 itself."
  default     = ""
}

variable "base_ami" {
  type        = string
  description = "AMI: the id of the image to start from; `ingot ami build` finds it."
  default     = "ami-00000000000000000"
}

variable "ami" {
  type        = string
  description = "AMI: the id of the finished image, to verify."
  default     = "ami-00000000000000000"
}

variable "ami_name" {
  type        = string
  description = "AMI: the name of the image, unlike that of any other."
  default     = "ingot"
}

variable "root_device" {
  type        = string
  description = "AMI: the name of the base image's root device."
  default     = "/dev/xvda"
}

variable "volume_gib" {
  type        = number
  description = "AMI: the size of the root volume in GiB; empty takes that of catalog/builders.yml."
  default     = null
}

variable "user" {
  type        = string
  description = "AMI: whom the base image lets log in; empty takes the user that the lock names."
  default     = ""
}

variable "login_seconds" {
  type        = number
  description = "AMI: how long an instance may take until it answers by ssh."
  default     = 600
}

variable "ready_seconds" {
  type        = number
  description = "AMI: how long cloud-init may take after that, and how long something else may hold apt's lock."
  default     = 600
}

variable "instance_type" {
  type        = string
  description = "AMI: the instance type to build on, no GPU is needed; empty takes the first of catalog/builders.yml."
  default     = ""
}

variable "spot_instance_types" {
  type        = list(string)
  description = "AMI: spot instances of whichever of these types there is, in the place of instance_type."
  default     = []
}

variable "subnet" {
  type        = string
  description = "AMI: the subnet to build in; empty takes the default VPC's."
  default     = ""
}

variable "instance_profile" {
  type        = string
  description = "AMI: an instance profile with AmazonSSMManagedInstanceCore, to log in by Session Manager; may be empty."
  default     = ""
}

variable "kms_key" {
  type        = string
  description = "AMI: the key that volumes are encrypted with; empty takes the account's own for EBS."
  default     = ""
}

variable "signing_key" {
  type        = string
  description = "AMI: a private key in PEM on this machine that modules are signed with; may be empty."
  default     = ""
}

variable "signing_certificate" {
  type        = string
  description = "AMI: the certificate in DER that goes with the key."
  default     = ""
}

variable "deprecate_at" {
  type        = string
  description = "AMI: when it is deprecated, as 2027-11-30T00:00:00Z."
  default     = ""
}

variable "tags" {
  type        = map(string)
  description = "AMI: the tags of the image and of its snapshots."
  default     = {}
}

variable "build_id" {
  type        = string
  description = "AMI: what all that this build makes is tagged with."
  default     = ""
}

variable "folder" {
  type        = string
  description = "AMI: the folder for the suite's result, the manifest and the image's id."
  default     = "."
}

variable "frozen" {
  type        = bool
  description = "AMI: whether the base image's package manager has to offer exactly what the lock has."
  default     = false
}

variable "ingot" {
  type        = string
  description = "AMI: the command line that runs the suite."
  default     = "ingot"
}

variable "packages" {
  type        = string
  description = "AMI: the command that lists the image's packages for its SBOM."
  default     = "true"
}
