# Who may reach whom. Rules are resources of their own, so that two groups can name each other.

locals {
  # What each group is for; groups that nothing needs are not made.
  has_cache  = var.memcached != null
  has_valkey = var.valkey != null

  cache_ports = merge(
    local.has_cache ? { memcached = 11211 } : {},
    local.has_valkey ? { valkey = 6379 } : {},
  )
}

resource "aws_security_group" "balancer" {
  name_prefix = "${var.name}-balancer-"
  description = "Clients reach the load balancer"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-balancer" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "nodes" {
  name_prefix = "${var.name}-nodes-"
  description = "Nodes of the cluster"
  vpc_id      = local.vpc_id
  # The balancer's clients keep their address on the way to a node, so the group of the balancer is named, not networks.
  tags = merge(local.tags, { Name = "${var.name}-nodes" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "caches" {
  count = length(local.cache_ports) > 0 ? 1 : 0

  name_prefix = "${var.name}-caches-"
  description = "Nodes reach their caches"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-caches" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "endpoints" {
  count = length(local.interface_services) > 0 ? 1 : 0

  name_prefix = "${var.name}-endpoints-"
  description = "Nodes reach services of AWS"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-endpoints" })

  lifecycle {
    create_before_destroy = true
  }
}

# The load balancer.

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = { for pair in setproduct(keys(local.listeners), var.client_networks) : "${pair[0]} ${pair[1]}" => pair }

  security_group_id = aws_security_group.balancer.id
  description       = "Clients"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.value[0])
  to_port           = tonumber(each.value[0])
  cidr_ipv4         = each.value[1]
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = setunion(local.target_ports, [tostring(local.http_port)])

  security_group_id            = aws_security_group.balancer.id
  description                  = each.key == tostring(local.http_port) ? "Whether nodes are ready" : "Nodes"
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.key)
  to_port                      = tonumber(each.key)
  referenced_security_group_id = aws_security_group.nodes.id
}

# Nodes.

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  for_each = setunion(local.target_ports, [tostring(local.http_port)])

  security_group_id            = aws_security_group.nodes.id
  description                  = each.key == tostring(local.http_port) ? "Whether nodes are ready" : "The load balancer"
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.key)
  to_port                      = tonumber(each.key)
  referenced_security_group_id = aws_security_group.balancer.id
}

resource "aws_vpc_security_group_ingress_rule" "links" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "Other nodes"
  ip_protocol                  = "tcp"
  from_port                    = local.cluster_port
  to_port                      = local.cluster_port
  referenced_security_group_id = aws_security_group.nodes.id
}

resource "aws_vpc_security_group_ingress_rule" "monitoring" {
  for_each = toset(var.monitoring_networks)

  security_group_id = aws_security_group.nodes.id
  description       = "Metrics"
  ip_protocol       = "tcp"
  from_port         = local.http_port
  to_port           = local.http_port
  cidr_ipv4         = each.key
}

resource "aws_vpc_security_group_egress_rule" "links" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "Other nodes"
  ip_protocol                  = "tcp"
  from_port                    = local.cluster_port
  to_port                      = local.cluster_port
  referenced_security_group_id = aws_security_group.nodes.id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.nodes.id
  description       = "Services of AWS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "servers" {
  count = var.federation ? 1 : 0

  security_group_id = aws_security_group.nodes.id
  description       = "Other servers"
  ip_protocol       = "tcp"
  from_port         = 5269
  to_port           = 5270
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "caches" {
  for_each = local.cache_ports

  security_group_id            = aws_security_group.nodes.id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.caches[0].id
}

# Caches and endpoints.

resource "aws_vpc_security_group_ingress_rule" "caches" {
  for_each = local.cache_ports

  security_group_id            = aws_security_group.caches[0].id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.nodes.id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(aws_security_group.endpoints)

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "Nodes"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.nodes.id
}
