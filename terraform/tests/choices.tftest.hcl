# What changes with the variables.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  domains = ["example.org", "example.net"]
  ami_id  = "ami-0123456789abcdef0"
}

run "caches" {
  variables {
    memcached = {}
    valkey    = {}
  }
  assert {
    condition     = strcontains(output.configuration, "[storage.memcached]\nconfiguration = \"starling-cache.0.cfg.euw1.cache.amazonaws.com:11211\"\nnamespace = \"starling\"\n")
    error_message = output.configuration
  }
  assert {
    condition     = strcontains(output.configuration, "directory = \"redis\"") && strcontains(output.configuration, "[cluster.redis]\nurl = \"rediss://master.starling-members.0.euw1.cache.amazonaws.com:6379\"")
    error_message = output.configuration
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.caches : rule.from_port]) == toset([6379, 11211])
    error_message = "nodes reach their caches"
  }
  assert {
    condition     = aws_elasticache_cluster.memcached[0].az_mode == "cross-az" && aws_elasticache_replication_group.valkey[0].transit_encryption_enabled
    error_message = "in several zones, by TLS"
  }
}

run "records" {
  variables {
    dns_zones = { "example.org" = "ZORG", "example.net" = "ZNET" }
  }
  assert {
    condition     = aws_route53_record.host[0].name == "xmpp.example.org" && aws_route53_record.host[0].zone_id == "ZORG"
    error_message = "the host"
  }
  assert {
    condition = { for name, it in aws_route53_record.services : name => { zone = it.zone_id, records = it.records } } == {
      "_xmpp-client._tcp.example.org"  = { zone = "ZORG", records = toset(["10 0 5222 xmpp.example.org."]) }
      "_xmpp-client._tcp.example.net"  = { zone = "ZNET", records = toset(["10 0 5222 xmpp.example.org."]) }
      "_xmpps-client._tcp.example.org" = { zone = "ZORG", records = toset(["10 0 5223 xmpp.example.org.", "20 0 443 xmpp.example.org."]) }
      "_xmpps-client._tcp.example.net" = { zone = "ZNET", records = toset(["10 0 5223 xmpp.example.org.", "20 0 443 xmpp.example.org."]) }
    }
    error_message = "services"
  }
}

run "a_zone_elsewhere" {
  assert {
    condition = length(aws_route53_record.services) == 0 && jsonencode(output.records) == jsonencode({
      "xmpp.example.org"               = ["CNAME starling-0.elb.eu-west-1.amazonaws.com."]
      "_xmpp-client._tcp.example.org"  = ["SRV 10 0 5222 xmpp.example.org."]
      "_xmpp-client._tcp.example.net"  = ["SRV 10 0 5222 xmpp.example.org."]
      "_xmpps-client._tcp.example.org" = ["SRV 10 0 5223 xmpp.example.org.", "SRV 20 0 443 xmpp.example.org."]
      "_xmpps-client._tcp.example.net" = ["SRV 10 0 5223 xmpp.example.org.", "SRV 20 0 443 xmpp.example.org."]
    })
    error_message = jsonencode(output.records)
  }
}

run "servers" {
  variables {
    federation = true
    dns_zones  = { "example.org" = "ZORG" }
  }
  assert {
    condition     = aws_lb_target_group.this["5269"].port == 5269 && aws_lb_listener.this["5269"].port == 5269
    error_message = "port 5269"
  }
  assert {
    condition     = aws_route53_record.services["_xmpp-server._tcp.example.org"].records == toset(["10 0 5269 xmpp.example.org."])
    error_message = "record"
  }
}

run "one_port" {
  variables {
    ports = { 443 = "direct" }
  }
  assert {
    condition     = keys(aws_lb_target_group.this) == ["5223"] && !strcontains(output.configuration, "starttls")
    error_message = "what nobody is led to is not open"
  }
}

run "public" {
  assert {
    condition     = length(aws_subnet.private) == 0 && length(aws_nat_gateway.this) == 0 && aws_launch_template.nodes.network_interfaces[0].associate_public_ip_address == "true"
    error_message = "public addresses"
  }
}

run "nat" {
  variables {
    egress = "nat"
  }
  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_nat_gateway.this) == 1 && length(aws_route.private) == 3
    error_message = "one NAT for three zones"
  }
  assert {
    condition     = toset([for subnet in aws_subnet.private : subnet.id]) == toset(aws_autoscaling_group.nodes.vpc_zone_identifier)
    error_message = "nodes are in private subnets"
  }
}

run "nat_per_zone" {
  variables {
    egress = "nat_per_zone"
    zones  = 2
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 2 && alltrue([for zone, route in aws_route.private : route.nat_gateway_id == aws_nat_gateway.this[zone].id])
    error_message = "one in each zone"
  }
}

run "endpoints" {
  variables {
    egress = "endpoints"
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ec2", "autoscaling", "logs"]) && length(aws_nat_gateway.this) == 0
    error_message = "what nodes ask beside tables and bucket"
  }
}

run "a_vpc_of_yours" {
  variables {
    vpc = { id = "vpc-1", balancer_subnets = ["subnet-1"], node_subnets = ["subnet-2", "subnet-3"] }
  }
  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_vpc_endpoint.gateway) == 0 && output.vpc_id == "vpc-1"
    error_message = "nothing is made"
  }
  assert {
    condition     = aws_autoscaling_group.nodes.vpc_zone_identifier == toset(["subnet-2", "subnet-3"])
    error_message = "subnets"
  }
  assert {
    condition = anytrue([for metric in aws_autoscaling_policy.sessions.target_tracking_configuration[0].customized_metric_specification[0].metrics :
      metric.expression == "(FILL(flows0, 0)) / nodes"
    ])
    error_message = "zones of the subnets"
  }
}

run "spot" {
  variables {
    spot = { on_demand_base = 2, on_demand_percentage = 25, other_types = ["c6g.large"] }
  }
  assert {
    condition     = length(aws_autoscaling_group.nodes.launch_template) == 0 && [for it in aws_autoscaling_group.nodes.mixed_instances_policy[0].launch_template[0].override : it.instance_type] == ["c7g.large", "c6g.large"]
    error_message = "types"
  }
  assert {
    condition     = aws_autoscaling_group.nodes.capacity_rebalance
    error_message = "replaced before they are interrupted"
  }
}

run "a_key_of_yours" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.server_side_encryption[0].kms_key_arn == var.kms_key_arn])
    error_message = "tables"
  }
  assert {
    condition     = contains(keys(output.permissions), "Key")
    error_message = "nodes may use it"
  }
}

run "a_trial" {
  variables {
    deletion_protection    = false
    point_in_time_recovery = false
    logs                   = false
    dashboard              = false
  }
  assert {
    condition     = !aws_lb.this.enable_deletion_protection && alltrue([for table in aws_dynamodb_table.this : !table.deletion_protection_enabled && !table.point_in_time_recovery[0].enabled])
    error_message = "goes again"
  }
  assert {
    condition     = !contains(keys(output.permissions), "Logs") && !strcontains(output.user_data, "write_files")
    error_message = "no logs, no right to write them"
  }
}

run "what_is_written_besides" {
  variables {
    top_level_configuration = "shutdown_grace = \"20s\""
    configuration           = "[archive]\nretention = \"365d\""
  }
  assert {
    condition     = strcontains(output.configuration, "5280\"\nshutdown_grace = \"20s\"\n\n[storage]") && endswith(output.configuration, "\n\n[archive]\nretention = \"365d\"")
    error_message = output.configuration
  }
}
