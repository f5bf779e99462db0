# Images of a node for EC2: Debian with the package, for Arm (Graviton) and x86-64.
#
#   deploy/debian/build target/release/starling            # a package for each architecture that is wanted
#   packer init deploy/packer
#   packer build -var package_arm64=starling_0.1.0-1_arm64.deb -only='starling.amazon-ebs.arm64' deploy/packer
#
# An instance needs nothing but user data: a domain, TOML, or a cloud-config with either under `starling: |`.

variable "region" {
  type        = string
  default     = "eu-west-1"
  description = "Where the images are made."
}

variable "copy_to" {
  type        = list(string)
  default     = []
  description = "Regions that get copies."
}

variable "package_arm64" {
  type        = string
  default     = "starling_arm64.deb"
  description = "The Debian package for Arm."
}

variable "package_amd64" {
  type        = string
  default     = "starling_amd64.deb"
  description = "The Debian package for x86-64."
}

variable "kms_key_id" {
  type        = string
  default     = ""
  description = "A key of KMS for the volumes; without it the account's own for EBS."
}

variable "subnet_id" {
  type        = string
  default     = ""
  description = "Where the building instance is; without it the default VPC."
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
  tags = {
    Name     = "starling"
    starling = "image"
  }
}

source "amazon-ebs" "arm64" {
  ami_name        = "starling-arm64-${local.stamp}"
  ami_description = "A node of Starling, an XMPP server, for Arm"
  instance_type   = "t4g.small"
  region          = var.region
  ami_regions     = var.copy_to
  subnet_id       = var.subnet_id
  encrypt_boot    = true
  kms_key_id      = var.kms_key_id
  ena_support     = true
  imds_support    = "v2.0"
  ssh_username    = "admin"
  tags            = local.tags
  run_tags        = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  source_ami_filter {
    # Debian's own account: https://wiki.debian.org/Cloud/AmazonEC2Image
    owners      = ["136693071363"]
    most_recent = true

    filters = {
      name                = "debian-12-arm64-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
}

source "amazon-ebs" "amd64" {
  ami_name        = "starling-amd64-${local.stamp}"
  ami_description = "A node of Starling, an XMPP server, for x86-64"
  instance_type   = "t3.small"
  region          = var.region
  ami_regions     = var.copy_to
  subnet_id       = var.subnet_id
  encrypt_boot    = true
  kms_key_id      = var.kms_key_id
  ena_support     = true
  imds_support    = "v2.0"
  ssh_username    = "admin"
  tags            = local.tags
  run_tags        = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  source_ami_filter {
    owners      = ["136693071363"]
    most_recent = true

    filters = {
      name                = "debian-12-amd64-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
}

build {
  name    = "starling"
  sources = ["source.amazon-ebs.arm64", "source.amazon-ebs.amd64"]

  provisioner "file" {
    only        = ["amazon-ebs.arm64"]
    source      = var.package_arm64
    destination = "/tmp/starling.deb"
  }

  provisioner "file" {
    only        = ["amazon-ebs.amd64"]
    source      = var.package_amd64
    destination = "/tmp/starling.deb"
  }

  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} bash '{{ .Path }}'"
    script          = "${path.root}/provision"
  }

  post-processor "manifest" {
    output = "starling-images.json"
  }
}
