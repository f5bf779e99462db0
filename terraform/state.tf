# Where state is: four tables and a bucket, as `starling init` would make them, so that it finds nothing to do.

locals {
  table_prefix = "${var.name}-"
  table_names  = { for table in ["core", "log", "idx", "ctl"] : table => "${local.table_prefix}${table}" }
  bucket_name  = coalesce(var.bucket_name, "${var.name}-${local.account}-${local.region}")

  # What point-in-time recovery brings back may point at objects that were removed since.
  recovery_days = 35
}

resource "aws_dynamodb_table" "this" {
  #checkov:skip=CKV_AWS_119:tables are encrypted always; whose key is the operator's choice (kms_key_arn)
  for_each = local.table_names

  name                        = each.value
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "p"
  range_key                   = "s"
  deletion_protection_enabled = var.deletion_protection
  tags                        = local.tags

  attribute {
    name = "p"
    type = "B"
  }

  attribute {
    name = "s"
    type = "B"
  }

  ttl {
    attribute_name = "x"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  # Without a key of ours DynamoDB encrypts by one of its own, which is what no block means.
  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn[*]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:what is read and written is counted by the nodes; data events of CloudTrail tell who, where that is wanted
  #checkov:skip=CKV_AWS_144:a copy in another region is the operator's choice, together with one of the tables
  #checkov:skip=CKV_AWS_145:objects are encrypted always; whose key is the operator's choice (kms_key_arn)
  #checkov:skip=CKV2_AWS_62:nobody waits for events of objects
  bucket        = local.bucket_name
  force_destroy = var.force_destroy
  tags          = local.tags

  lifecycle {
    precondition {
      condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", local.bucket_name))
      error_message = "${local.bucket_name} is no name of a bucket: 3 to 63 lower-case letters, digits and hyphens."
    }
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = var.point_in_time_recovery ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this]

  # `starling init` looks for a rule of this name.
  rule {
    id     = "starling-abort-incomplete-uploads"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "remove-what-was-removed"
    status = "Enabled"

    filter {
      prefix = ""
    }

    noncurrent_version_expiration {
      noncurrent_days = local.recovery_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = var.infrequent_access_days[*]
    content {
      id     = "seldom-read"
      status = "Enabled"

      filter {
        # Below this size the class costs more than it saves.
        object_size_greater_than = 131072
      }

      transition {
        days          = rule.value
        storage_class = "STANDARD_IA"
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_public_access_block.this]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OnlyByTLS"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "OnlyByTLSOfToday"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
    ]
  })
}
