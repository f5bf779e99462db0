locals {
  region    = data.aws_region.this.name
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition

  cluster_tag = "starling-cluster"
  tags        = merge(var.tags, { (local.cluster_tag) = var.name })

  # Where a node serves metrics and health, and where other nodes reach it.
  http_port    = 5280
  cluster_port = 7269
  # Where a node listens for clients. Privileged ports are the load balancer's alone.
  node_ports = merge({ starttls = 5222, direct = 5223 }, var.federation ? { servers = 5269 } : {})
  # The load balancer's ports and where they lead.
  listeners = merge(
    { for port, security in var.ports : port => local.node_ports[security] },
    var.federation ? { 5269 = 5269 } : {},
  )
  # Those that are used, so that nothing else is open.
  target_ports = toset([for port in distinct(values(local.listeners)) : tostring(port)])

  host = coalesce(var.host, "xmpp.${var.domains[0]}")
}
