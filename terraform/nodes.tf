# Nodes: what they are told, how they are launched, held until they serve and until they have left, and how many there are.

locals {
  configuration = trimspace(templatefile("${path.module}/templates/starling.toml", {
    domains      = var.domains
    http_port    = local.http_port
    top_level    = trimspace(var.top_level_configuration)
    region       = local.region
    table_prefix = local.table_prefix
    bucket       = aws_s3_bucket.this.bucket
    memcached    = local.memcached_address
    valkey       = local.valkey_address
    name         = var.name
    cluster_port = local.cluster_port
    tag          = local.cluster_tag
    # Servers come once the server speaks to servers; it has no such listener yet.
    ports = { for security, port in local.node_ports : security => port if security != "servers" && contains(local.target_ports, tostring(port)) }
    rest  = trimspace(var.configuration)
  }))

  # The agent of the image reads every file of this directory.
  agent = jsonencode({
    logs = {
      logs_collected = {
        files = {
          collect_list = [{
            file_path       = "/var/log/starling/starling.log"
            log_group_name  = local.log_group
            log_stream_name = "{instance_id}"
            timezone        = "UTC"
          }]
        }
      }
    }
  })

  # The node reads its user data itself, from the metadata service: what is under `starling` is for it, the rest for
  # cloud-init.
  user_data = join("\n", concat(
    ["#cloud-config"],
    var.logs ? [
      "write_files:",
      "  - path: /opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.d/starling.json",
      "    permissions: \"0644\"",
      "    content: ${jsonencode(local.agent)}",
    ] : [],
    ["starling: |"],
    [for line in split("\n", local.configuration) : line == "" ? "" : "  ${line}"],
    [""],
  ))

  hooks = {
    # An instance whose node does not come to serve is given up.
    serves = { transition = "autoscaling:EC2_INSTANCE_LAUNCHING", timeout = var.launch_timeout, otherwise = "ABANDON" }
    # One that has stopped to say that it hands over is gone.
    leaves = { transition = "autoscaling:EC2_INSTANCE_TERMINATING", timeout = var.drain_heartbeat, otherwise = "CONTINUE" }
  }
}

resource "aws_launch_template" "nodes" {
  name_prefix            = "${var.name}-"
  description            = "A node of ${var.name}"
  image_id               = var.ami_id
  instance_type          = var.instance_type
  update_default_version = true
  user_data              = base64encode(local.user_data)
  tags                   = local.tags

  iam_instance_profile {
    arn = aws_iam_instance_profile.nodes.arn
  }

  # Version 2 only, not beyond the instance; a node reads its tags there.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  network_interfaces {
    #checkov:skip=CKV_AWS_88:without NAT and endpoints nodes have public addresses; their group lets in nobody
    associate_public_ip_address = local.makes_vpc && var.egress == "public" ? "true" : null
    delete_on_termination       = true
    security_groups             = [aws_security_group.nodes.id]
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size           = var.volume_gib
      volume_type           = "gp3"
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.key
      tags          = merge(local.tags, { Name = var.name })
    }
  }

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = length(base64encode(local.user_data)) <= 21848
      error_message = "User data are ${length(base64encode(local.user_data))} bytes in base64; EC2 takes 16 KiB before that. Shorten `configuration`."
    }
  }
}

resource "aws_autoscaling_group" "nodes" {
  name                      = local.group_name
  min_size                  = var.nodes.min
  max_size                  = var.nodes.max
  vpc_zone_identifier       = local.node_subnets
  target_group_arns         = [for group in aws_lb_target_group.this : group.arn]
  health_check_type         = var.replace_unready ? "ELB" : "EC2"
  health_check_grace_period = 60
  default_instance_warmup   = var.warm_up
  default_cooldown          = 60
  wait_for_capacity_timeout = var.wait_for_capacity_timeout
  termination_policies      = ["OldestLaunchTemplate", "Default"]
  capacity_rebalance        = var.spot != null
  enabled_metrics           = ["GroupInServiceInstances", "GroupDesiredCapacity", "GroupMaxSize", "GroupPendingInstances", "GroupTerminatingInstances"]

  dynamic "launch_template" {
    for_each = var.spot == null ? [aws_launch_template.nodes] : []
    content {
      id      = launch_template.value.id
      version = launch_template.value.latest_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = var.spot[*]
    content {
      instances_distribution {
        on_demand_base_capacity                  = mixed_instances_policy.value.on_demand_base
        on_demand_percentage_above_base_capacity = mixed_instances_policy.value.on_demand_percentage
        spot_allocation_strategy                 = "price-capacity-optimized"
      }

      launch_template {
        launch_template_specification {
          launch_template_id = aws_launch_template.nodes.id
          version            = aws_launch_template.nodes.latest_version
        }

        dynamic "override" {
          for_each = concat([var.instance_type], mixed_instances_policy.value.other_types)
          content {
            instance_type = override.value
          }
        }
      }
    }
  }

  # The first instances are held as well: at the making of the group only, so the hooks are resources too.
  dynamic "initial_lifecycle_hook" {
    for_each = local.hooks
    content {
      name                 = initial_lifecycle_hook.key
      lifecycle_transition = initial_lifecycle_hook.value.transition
      heartbeat_timeout    = initial_lifecycle_hook.value.timeout
      default_result       = initial_lifecycle_hook.value.otherwise
    }
  }

  # A new image or configuration comes to all nodes, one more at a time, before an old one leaves.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage       = 100
      max_healthy_percentage       = 110
      instance_warmup              = var.warm_up
      auto_rollback                = true
      skip_matching                = true
      scale_in_protected_instances = "Wait"
    }
  }

  dynamic "tag" {
    for_each = merge(local.tags, { Name = var.name })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    # Scaling decides.
    ignore_changes = [desired_capacity]
  }

  # A node that starts before these are there refuses to serve, and says why.
  depends_on = [
    aws_iam_role_policy.nodes,
    aws_vpc_endpoint.gateway,
    aws_vpc_endpoint.interface,
    aws_route.public,
    aws_route.private,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_egress_rule.links,
    aws_vpc_security_group_ingress_rule.links,
    aws_s3_bucket_policy.this,
    aws_lb_listener.this,
  ]
}

resource "aws_autoscaling_lifecycle_hook" "nodes" {
  for_each = local.hooks

  name                   = each.key
  autoscaling_group_name = aws_autoscaling_group.nodes.name
  lifecycle_transition   = each.value.transition
  heartbeat_timeout      = each.value.timeout
  default_result         = each.value.otherwise
}

# Connections of the load balancer, all zones together, for each node that serves.
resource "aws_autoscaling_policy" "sessions" {
  name                   = "${var.name}-sessions"
  autoscaling_group_name = aws_autoscaling_group.nodes.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.sessions_per_node

    customized_metric_specification {
      dynamic "metrics" {
        for_each = { for number, zone in local.balancer_zones : "flows${number}" => zone }
        content {
          id          = metrics.key
          return_data = false

          metric_stat {
            stat = "Average"

            metric {
              namespace   = "AWS/NetworkELB"
              metric_name = "ActiveFlowCount"

              dimensions {
                name  = "LoadBalancer"
                value = aws_lb.this.arn_suffix
              }
              dimensions {
                name  = "AvailabilityZone"
                value = metrics.value
              }
            }
          }
        }
      }

      metrics {
        id          = "nodes"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "AWS/AutoScaling"
            metric_name = "GroupInServiceInstances"

            dimensions {
              name  = "AutoScalingGroupName"
              value = aws_autoscaling_group.nodes.name
            }
          }
        }
      }

      metrics {
        id          = "sessions"
        label       = "Connections for each node"
        expression  = "(${join(" + ", [for number, _ in local.balancer_zones : "FILL(flows${number}, 0)"])}) / nodes"
        return_data = true
      }
    }
  }
}

resource "aws_autoscaling_policy" "cpu" {
  name                   = "${var.name}-cpu"
  autoscaling_group_name = aws_autoscaling_group.nodes.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.cpu_percent

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}
