# A cache in front of the tables, and a directory of members in place of Raft: both may be left out.

locals {
  has_subnet_group = length(local.cache_ports) > 0
  # Where nodes reach them. Services that only imitate AWS may not tell.
  memcached_address = try("${aws_elasticache_cluster.memcached[0].cluster_address}:${local.cache_ports.memcached}", null)
  valkey_address    = try("${aws_elasticache_replication_group.valkey[0].primary_endpoint_address}:${local.cache_ports.valkey}", null)
}

resource "aws_elasticache_subnet_group" "this" {
  count = local.has_subnet_group ? 1 : 0

  name        = var.name
  description = "Caches of ${var.name}"
  subnet_ids  = local.node_subnets
  tags        = local.tags
}

# Accounts, secrets and what orders writes are never in it, and a node goes on without it.
resource "aws_elasticache_cluster" "memcached" {
  count = local.has_cache ? 1 : 0

  cluster_id         = "${var.name}-cache"
  engine             = "memcached"
  engine_version     = "1.6.22"
  node_type          = var.memcached.node_type
  num_cache_nodes    = var.memcached.nodes
  az_mode            = var.memcached.nodes > 1 ? "cross-az" : "single-az"
  port               = local.cache_ports.memcached
  subnet_group_name  = aws_elasticache_subnet_group.this[0].name
  security_group_ids = aws_security_group.caches[*].id
  maintenance_window = "sun:03:00-sun:04:00"
  tags               = local.tags
}

resource "aws_elasticache_replication_group" "valkey" {
  #checkov:skip=CKV_AWS_31:only nodes reach it (security group), by TLS; a password in user data would be told to whoever may read them
  #checkov:skip=CKV_AWS_191:what it keeps is who is a member now, and is gone with the cluster
  count = local.has_valkey ? 1 : 0

  replication_group_id       = "${var.name}-members"
  description                = "Members of ${var.name}"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = var.valkey.node_type
  num_cache_clusters         = var.valkey.nodes
  automatic_failover_enabled = true
  multi_az_enabled           = true
  port                       = local.cache_ports.valkey
  subnet_group_name          = aws_elasticache_subnet_group.this[0].name
  security_group_ids         = aws_security_group.caches[*].id
  transit_encryption_enabled = true
  at_rest_encryption_enabled = true
  auto_minor_version_upgrade = true
  maintenance_window         = "sun:04:00-sun:05:00"
  tags                       = local.tags
}
