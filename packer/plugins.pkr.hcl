# The same versions as packer/tools/go.mod; a test compares them. Review 2027-02-01.
packer {
  required_version = ">= 1.11.0"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "= 1.3.2"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = "= 1.0.3"
    }
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "= 1.0.8"
    }
  }
}
