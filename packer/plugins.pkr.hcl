# The same versions as packer/tools/go.mod; a test compares them. Review 2027-02-01.
packer {
  # From 1.14.1 on `packer init` fetches from releases.hashicorp.com, where newer plugins are published alone.
  required_version = ">= 1.14.1"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "= 1.8.1"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = "= 1.0.3"
    }
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "= 1.1.2"
    }
  }
}
