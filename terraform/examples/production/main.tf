# A service for people: nodes without public addresses, a cache, records in Route 53, alarms by mail, nothing that can be
# deleted by mistake.

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

  default_tags {
    tags = { service = "chat" }
  }
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

variable "zone_id" {
  description = "Its zone in Route 53."
  type        = string
}

variable "ami_id" {
  description = "The image that deploy/packer made in this region."
  type        = string
}

variable "alarm_mail" {
  description = "Who is told of alarms."
  type        = string
}

variable "monitoring_networks" {
  description = "Where Prometheus is."
  type        = list(string)
  default     = []
}

resource "aws_sns_topic" "alarms" {
  name              = "starling-alarms"
  kms_master_key_id = aws_kms_key.alarms.id
}

# CloudWatch may not use the key that SNS has of its own.
resource "aws_kms_key" "alarms" {
  description         = "Alarms of starling"
  enable_key_rotation = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Owner"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.this.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "CloudWatch"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      },
    ]
  })
}

data "aws_caller_identity" "this" {}

resource "aws_sns_topic_subscription" "alarms" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_mail
}

module "starling" {
  source = "../.."

  domains       = [var.domain]
  ami_id        = var.ami_id
  instance_type = "c7g.large"
  nodes         = { min = 3, max = 12 }

  egress              = "nat_per_zone"
  flow_logs           = true
  monitoring_networks = var.monitoring_networks
  dns_zones           = { (var.domain) = var.zone_id }

  memcached              = { node_type = "cache.m7g.large", nodes = 2 }
  infrequent_access_days = 90

  sessions_per_node = 100000
  alarm_actions     = [aws_sns_topic.alarms.arn]

  top_level_configuration = "shutdown_grace = \"20s\""
  configuration           = <<-TOML
    [archive]
    retention = "365d"

    [log]
    format = "json"

    # Certificates: whatever brings them to the image or the instance; nodes read them again when they change.
    [[certificates]]
    chain = "/etc/starling/tls/fullchain.pem"
    key = "/etc/starling/tls/privkey.pem"
  TOML
}

output "address" {
  description = "The load balancer."
  value       = module.starling.address
}

output "permissions" {
  description = "What nodes may do, and why."
  value       = module.starling.permissions
}
