# What a node may do: each action, and why. `terraform output permissions` prints the list, and a test holds it against the
# calls that the program makes.
#
# `starling init` needs more (CreateTable, PutBucketPublicAccessBlock, ...): here Terraform makes what it would make.

locals {
  table_arns = [for table in aws_dynamodb_table.this : table.arn]
  group_name = var.name
  # The group names the role by its template, so its ARN is written rather than taken from it.
  group_arn = "arn:${local.partition}:autoscaling:${local.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName/${local.group_name}"

  permissions = concat([
    {
      id        = "Tables"
      resources = local.table_arns
      condition = null
      actions = {
        "dynamodb:GetItem"            = "reads a record: an account, a roster, the head of a log"
        "dynamodb:Query"              = "reads a range: entries of an archive, members of a cluster"
        "dynamodb:Scan"               = "lists accounts, a partition at a time: administration, export, maintenance"
        "dynamodb:PutItem"            = "writes a record under a condition"
        "dynamodb:UpdateItem"         = "changes a record under a condition; part of transactions"
        "dynamodb:DeleteItem"         = "removes a record under a condition; part of transactions"
        "dynamodb:ConditionCheckItem" = "part of transactions: what must hold of a record that is not written"
        "dynamodb:DescribeTable"      = "says at the start that a table is missing or of another form"
        "dynamodb:DescribeTimeToLive" = "says at the start that nothing expires"
      }
    },
    {
      id        = "Bucket"
      resources = [aws_s3_bucket.this.arn]
      condition = null
      actions = {
        "s3:ListBucket" = "tells that an object is absent from that it may not be read; finds what nothing points at"
      }
    },
    {
      id        = "Objects"
      resources = ["${aws_s3_bucket.this.arn}/*"]
      condition = null
      actions = {
        "s3:GetObject"            = "reads large values and old messages, whole or in ranges"
        "s3:PutObject"            = "writes them, in parts when they are large"
        "s3:DeleteObject"         = "removes what is replaced, and what a retention drops"
        "s3:AbortMultipartUpload" = "removes the parts of an upload that failed"
      }
    },
    {
      id = "Discovery"
      # EC2 knows no resources for it.
      resources = ["*"]
      condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
      actions = {
        "ec2:DescribeInstances" = "finds the other nodes by the tag of their instances"
      }
    },
    {
      id = "Group"
      # Auto Scaling knows no resources for these.
      resources = ["*"]
      condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
      actions = {
        "autoscaling:DescribeAutoScalingInstances" = "finds the group of the instance, where its tags do not tell"
        "autoscaling:DescribeLifecycleHooks"       = "finds what waits for this node to serve, and to leave"
      }
    },
    {
      id        = "Hooks"
      resources = [local.group_arn]
      condition = null
      actions = {
        "autoscaling:CompleteLifecycleAction"        = "tells the group that the node serves, and that it has left"
        "autoscaling:RecordLifecycleActionHeartbeat" = "keeps the group waiting while the node hands over"
      }
    },
    ], var.logs ? [{
      id        = "Logs"
      resources = ["${aws_cloudwatch_log_group.nodes[0].arn}:*"]
      condition = null
      actions = {
        "logs:CreateLogStream"    = "the image's agent: a stream for each instance"
        "logs:DescribeLogStreams" = "the image's agent: goes on where it was"
        "logs:PutLogEvents"       = "the image's agent: sends what the node logs"
      }
      }] : [], var.kms_key_arn == null ? [] : [{
      id        = "Key"
      resources = [var.kms_key_arn]
      condition = { StringEquals = { "kms:ViaService" = ["dynamodb.${local.region}.amazonaws.com", "s3.${local.region}.amazonaws.com"] } }
      actions = {
        "kms:Decrypt"         = "what is read from tables and bucket"
        "kms:Encrypt"         = "what is written to tables"
        "kms:GenerateDataKey" = "what is written to the bucket"
        "kms:ReEncryptFrom"   = "tables: keys that DynamoDB renews"
        "kms:ReEncryptTo"     = "tables: keys that DynamoDB renews"
        "kms:DescribeKey"     = "tables: whether the key is there"
        "kms:CreateGrant"     = "tables: lets DynamoDB use the key"
      }
  }])
}

resource "aws_iam_role" "nodes" {
  name        = "${var.name}-${local.region}-nodes"
  description = "What nodes of ${var.name} may do"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.${data.aws_partition.this.dns_suffix}" }
    }]
  })
}

resource "aws_iam_role_policy" "nodes" {
  name = "starling"
  role = aws_iam_role.nodes.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for permission in local.permissions : merge({
      Sid      = permission.id
      Effect   = "Allow"
      Action   = keys(permission.actions)
      Resource = permission.resources
    }, permission.condition == null ? {} : { Condition = permission.condition })]
  })
}

resource "aws_iam_role_policy_attachment" "extra" {
  for_each = toset(var.extra_policy_arns)

  role       = aws_iam_role.nodes.name
  policy_arn = each.key
}

resource "aws_iam_instance_profile" "nodes" {
  name = "${var.name}-${local.region}-nodes"
  role = aws_iam_role.nodes.name
  tags = local.tags
}
