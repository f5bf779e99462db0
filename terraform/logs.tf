# What nodes log, and what the network refuses.

locals {
  log_group = "/${var.name}/nodes"
}

resource "aws_cloudwatch_log_group" "nodes" {
  #checkov:skip=CKV_AWS_158:log groups are encrypted always; whose key is the operator's choice (kms_key_arn)
  #checkov:skip=CKV_AWS_338:how long is the operator's choice (log_days): logs tell of people
  count = var.logs ? 1 : 0

  name              = local.log_group
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_cloudwatch_log_group" "network" {
  #checkov:skip=CKV_AWS_158:log groups are encrypted always; whose key is the operator's choice (kms_key_arn)
  #checkov:skip=CKV_AWS_338:how long is the operator's choice (log_days): logs tell of people
  count = local.makes_vpc && var.flow_logs ? 1 : 0

  name              = "/${var.name}/network"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_flow_log" "refused" {
  count = length(aws_cloudwatch_log_group.network)

  vpc_id               = aws_vpc.this[0].id
  traffic_type         = "REJECT"
  log_destination_type = "cloud-watch-logs"
  log_destination      = aws_cloudwatch_log_group.network[0].arn
  iam_role_arn         = aws_iam_role.network[0].arn
  tags                 = local.tags
}

resource "aws_iam_role" "network" {
  count = length(aws_cloudwatch_log_group.network)

  name        = "${var.name}-${local.region}-network"
  description = "Writes the network log of ${var.name}"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "vpc-flow-logs.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "network" {
  count = length(aws_cloudwatch_log_group.network)

  name = "log"
  role = aws_iam_role.network[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
      Resource = ["${aws_cloudwatch_log_group.network[0].arn}:*"]
    }]
  })
}
