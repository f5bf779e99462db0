output "address" {
  description = "The name of the load balancer. Domains without a zone in `dns_zones` need records that point there, see `records`."
  value       = aws_lb.this.dns_name
}

output "host" {
  description = "The name that SRV records point at."
  value       = local.host
}

output "records" {
  description = "The records that clients need, for domains whose zone is elsewhere. The host's is a CNAME to `address`."
  value = merge({ (local.host) = ["CNAME ${aws_lb.this.dns_name}."] }, merge([for domain in var.domains : {
    for name in distinct(local.services[*].name) : "${name}.${domain}" => sort([
      for service in local.services : "SRV ${service.priority} 0 ${service.port} ${local.host}." if service.name == name
    ])
  }]...))
}

output "configuration" {
  description = "The configuration that nodes are given."
  value       = local.configuration
}

output "user_data" {
  description = "The user data of the instances."
  value       = local.user_data
}

output "group" {
  description = "The name of the Auto Scaling group."
  value       = aws_autoscaling_group.nodes.name
}

output "tables" {
  description = "The names of the tables."
  value       = { for table, it in aws_dynamodb_table.this : table => it.name }
}

output "bucket" {
  description = "The name of the bucket."
  value       = aws_s3_bucket.this.bucket
}

output "memcached" {
  description = "Where the cache tells which nodes it has; null: there is none."
  value       = local.memcached_address
}

output "valkey" {
  description = "Where the directory of members is; null: it is Raft's."
  value       = local.valkey_address
}

output "role_arn" {
  description = "The role of the nodes."
  value       = aws_iam_role.nodes.arn
}

output "permissions" {
  description = "What nodes may do, each action with its why."
  value       = { for permission in local.permissions : permission.id => permission.actions }
}

output "node_security_group" {
  description = "The security group of the nodes."
  value       = aws_security_group.nodes.id
}

output "vpc_id" {
  description = "The VPC."
  value       = local.vpc_id
}
