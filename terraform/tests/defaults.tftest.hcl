# What one gets who names a domain and an image.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  domains = ["example.org"]
  ami_id  = "ami-0123456789abcdef0"
}

run "tables_are_as_the_program_makes_them" {
  assert {
    condition     = toset([for table in aws_dynamodb_table.this : table.name]) == toset(["starling-core", "starling-log", "starling-idx", "starling-ctl"])
    error_message = "four tables"
  }
  assert {
    condition = alltrue([for table in aws_dynamodb_table.this :
      table.hash_key == "p" && table.range_key == "s" &&
      toset([for it in table.attribute : "${it.name} ${it.type}"]) == toset(["p B", "s B"])
    ])
    error_message = "keys p and s, both binary"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.billing_mode == "PAY_PER_REQUEST"])
    error_message = "billing by request"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.ttl[0].enabled && table.ttl[0].attribute_name == "x"])
    error_message = "expiry by x"
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.this : table.point_in_time_recovery[0].enabled && table.deletion_protection_enabled])
    error_message = "recovery and protection"
  }
}

run "the_bucket_is_closed" {
  assert {
    condition     = aws_s3_bucket.this.bucket == "starling-123456789012-eu-west-1"
    error_message = "the name that a node takes which was given nothing but a domain"
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "no public access"
  }
  assert {
    condition = anytrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement :
      statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "TLS only"
  }
  assert {
    condition = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      rule.id == "starling-abort-incomplete-uploads" && try(rule.abort_incomplete_multipart_upload[0].days_after_initiation, 0) == 7
    ])
    error_message = "the rule that `starling init` looks for"
  }
  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "objects come back with the tables that point at them"
  }
}

run "nodes_are_told_how_to_find_each_other" {
  assert {
    condition     = startswith(output.user_data, "#cloud-config\n") && strcontains(output.user_data, "\nstarling: |\n  domains = [\"example.org\"]\n")
    error_message = "a cloud-config with the key that nodes read"
  }
  assert {
    condition     = yamldecode(output.user_data).starling == "${output.configuration}\n"
    error_message = "YAML says the same: ${output.user_data}"
  }
  assert {
    condition     = strcontains(output.configuration, "[cluster.ec2]\ntags = [\"starling-cluster=starling\"]") && strcontains(output.configuration, "registry = true")
    error_message = "by tags and by the store"
  }
  assert {
    condition     = !strcontains(output.configuration, "memcached") && !strcontains(output.configuration, "redis")
    error_message = "no caches"
  }
  assert {
    condition = alltrue([
      aws_launch_template.nodes.metadata_options[0].http_tokens == "required",
      aws_launch_template.nodes.metadata_options[0].http_put_response_hop_limit == 1,
      aws_launch_template.nodes.metadata_options[0].instance_metadata_tags == "enabled",
    ])
    error_message = "IMDSv2 with tags, on the instance alone"
  }
  assert {
    condition     = contains([for tag in aws_autoscaling_group.nodes.tag : "${tag.key}=${tag.value} ${tag.propagate_at_launch}"], "starling-cluster=starling true")
    error_message = "instances bear the tag"
  }
}

run "the_group_waits_for_its_nodes" {
  assert {
    condition = (
      aws_autoscaling_lifecycle_hook.nodes["serves"].lifecycle_transition == "autoscaling:EC2_INSTANCE_LAUNCHING" &&
      aws_autoscaling_lifecycle_hook.nodes["serves"].default_result == "ABANDON" &&
      aws_autoscaling_lifecycle_hook.nodes["leaves"].lifecycle_transition == "autoscaling:EC2_INSTANCE_TERMINATING" &&
      aws_autoscaling_lifecycle_hook.nodes["leaves"].default_result == "CONTINUE"
    )
    error_message = "hooks"
  }
  assert {
    condition     = length(aws_autoscaling_group.nodes.initial_lifecycle_hook) == 2
    error_message = "the first instances are held as well"
  }
  assert {
    condition     = aws_autoscaling_group.nodes.health_check_type == "EC2" && aws_autoscaling_group.nodes.default_instance_warmup == 120
    error_message = "nodes that are not ready are not replaced unless that is asked for"
  }
  assert {
    condition     = aws_autoscaling_group.nodes.instance_refresh[0].preferences[0].min_healthy_percentage == 100
    error_message = "a refresh adds before it removes"
  }
  assert {
    condition = anytrue([for metric in aws_autoscaling_policy.sessions.target_tracking_configuration[0].customized_metric_specification[0].metrics :
      metric.expression == "(FILL(flows0, 0) + FILL(flows1, 0) + FILL(flows2, 0)) / nodes"
    ])
    error_message = "sessions of a node"
  }
}

run "the_load_balancer_passes_tcp_through" {
  assert {
    condition     = { for port, it in aws_lb_listener.this : port => it.protocol } == { "443" = "TCP", "5222" = "TCP", "5223" = "TCP" }
    error_message = "listeners"
  }
  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : group.health_check[0].path == "/ready" && group.health_check[0].port == "5280" && group.preserve_client_ip == "true"])
    error_message = "checks"
  }
  assert {
    condition     = toset(keys(aws_lb_target_group.this)) == toset(["5222", "5223"])
    error_message = "443 leads to direct TLS"
  }
}

run "nobody_else_gets_in" {
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.nodes : rule.cidr_ipv4 == null && rule.referenced_security_group_id == aws_security_group.balancer.id])
    error_message = "nodes are reached through the load balancer only"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.monitoring) == 0
    error_message = "metrics are closed"
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port]) == toset([443, 5222, 5223])
    error_message = "clients"
  }
}

run "a_node_may_do_what_it_does_and_no_more" {
  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.nodes.policy).Statement :
      alltrue([for action in statement.Action : !strcontains(action, "*")])
    ])
    error_message = "no action with a star"
  }
  assert {
    condition     = toset([for statement in jsondecode(aws_iam_role_policy.nodes.policy).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")]) == toset(["Discovery", "Group"])
    error_message = "every resource only where AWS knows none"
  }
  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.nodes.policy).Statement :
      try(statement.Condition.StringEquals["aws:RequestedRegion"], "") == "eu-west-1" if contains(flatten([statement.Resource]), "*")
    ])
    error_message = "in this region"
  }
  assert {
    condition     = alltrue(flatten([for actions in output.permissions : [for why in actions : length(why) > 10]]))
    error_message = "each action has its why"
  }
}

run "alarms_say_what_to_do" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 15 && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_description) > 40])
    error_message = "alarms: ${length(aws_cloudwatch_metric_alarm.this)}"
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets) == 8
    error_message = "the dashboard"
  }
}
