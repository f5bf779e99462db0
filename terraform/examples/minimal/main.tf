# The least that serves a domain: three small nodes, tables and a bucket, a load balancer. No cache, no NAT.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.83, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "Where."
  type        = string
  default     = "eu-west-1"
}

variable "domain" {
  description = "The domain to serve."
  type        = string
}

variable "ami_id" {
  description = "The image that deploy/packer made in this region."
  type        = string
}

module "starling" {
  source = "../.."

  domains       = [var.domain]
  ami_id        = var.ami_id
  instance_type = "t4g.small"
  nodes         = { min = 3, max = 4 }

  # A trial may be thrown away. What is to stay leaves these two out.
  deletion_protection = false
  force_destroy       = true
}

output "address" {
  description = "Where clients connect."
  value       = module.starling.address
}

output "records" {
  description = "What to write into the domain's zone."
  value       = module.starling.records
}

output "configuration" {
  description = "What nodes are given."
  value       = module.starling.configuration
}
