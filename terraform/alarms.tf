# What an operator is told. Each says in its description what to do. Metrics of the nodes themselves are Prometheus' (deploy/prometheus).

locals {
  balancer_dimension = { LoadBalancer = aws_lb.this.arn_suffix }
  group_dimension    = { AutoScalingGroupName = aws_autoscaling_group.nodes.name }

  alarms = merge(
    { for port, group in aws_lb_target_group.this : "not-ready-${port}" => {
      description = "Nodes are not ready at port ${port} for five minutes. Look at /ready of each: it says why."
      namespace   = "AWS/NetworkELB"
      metric      = "UnHealthyHostCount"
      dimensions  = merge(local.balancer_dimension, { TargetGroup = group.arn_suffix })
      statistic   = "Maximum"
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      periods     = 5
      missing     = "notBreaching"
    } },
    { for port, group in aws_lb_target_group.this : "too-few-${port}" => {
      description = "Fewer nodes than ${var.nodes.min} are ready at port ${port}. Look at the activity of the group and at /ready."
      namespace   = "AWS/NetworkELB"
      metric      = "HealthyHostCount"
      dimensions  = merge(local.balancer_dimension, { TargetGroup = group.arn_suffix })
      statistic   = "Minimum"
      comparison  = "LessThanThreshold"
      threshold   = var.nodes.min
      periods     = 10
      missing     = "breaching"
    } },
    { for table, name in local.table_names : "throttled-${table}" => {
      description = "The table ${name} throttles: a partition above what DynamoDB takes, or growth that is faster than it follows. Logins and messages wait."
      namespace   = "AWS/DynamoDB"
      metric      = "ThrottledRequests"
      dimensions  = { TableName = name }
      statistic   = "Sum"
      comparison  = "GreaterThanThreshold"
      threshold   = 10
      periods     = 3
      missing     = "notBreaching"
    } },
    { for table, name in local.table_names : "failing-${table}" => {
      description = "DynamoDB fails at the table ${name}. Nodes repeat what they can; look at the AWS Health dashboard."
      namespace   = "AWS/DynamoDB"
      metric      = "SystemErrors"
      dimensions  = { TableName = name }
      statistic   = "Sum"
      comparison  = "GreaterThanThreshold"
      threshold   = 5
      periods     = 3
      missing     = "notBreaching"
    } },
    {
      full = {
        description = "The group has as many nodes as it may have (${var.nodes.max}). Raise `nodes.max`, or see what makes the load."
        namespace   = "AWS/AutoScaling"
        metric      = "GroupInServiceInstances"
        dimensions  = local.group_dimension
        statistic   = "Minimum"
        comparison  = "GreaterThanOrEqualToThreshold"
        # A group that cannot grow is not told of.
        threshold = max(var.nodes.max, var.nodes.min + 1)
        periods   = 15
        missing   = "notBreaching"
      }
      busy = {
        description = "Nodes use more than 85 % of their processors for ten minutes, so scaling does not keep up."
        namespace   = "AWS/EC2"
        metric      = "CPUUtilization"
        dimensions  = local.group_dimension
        statistic   = "Average"
        comparison  = "GreaterThanThreshold"
        threshold   = 85
        periods     = 10
        missing     = "notBreaching"
      }
      ports = {
        description = "The load balancer runs out of ports towards nodes and refuses connections: more nodes help."
        namespace   = "AWS/NetworkELB"
        metric      = "PortAllocationErrorCount"
        dimensions  = local.balancer_dimension
        statistic   = "Sum"
        comparison  = "GreaterThanThreshold"
        threshold   = 0
        periods     = 1
        missing     = "notBreaching"
      }
    },
    local.has_cache ? {
      cache = {
        description = "The cache throws out what is used: larger or more nodes (`memcached`) spare reads of the tables."
        namespace   = "AWS/ElastiCache"
        metric      = "Evictions"
        dimensions  = { CacheClusterId = aws_elasticache_cluster.memcached[0].cluster_id }
        statistic   = "Sum"
        comparison  = "GreaterThanThreshold"
        threshold   = 1000
        periods     = 15
        missing     = "notBreaching"
      }
    } : {},
    local.has_valkey ? {
      members = {
        description = "Valkey, which orders the members, uses most of its memory. It needs little: see what else is there."
        namespace   = "AWS/ElastiCache"
        metric      = "DatabaseMemoryUsagePercentage"
        dimensions  = { ReplicationGroupId = aws_elasticache_replication_group.valkey[0].id }
        statistic   = "Maximum"
        comparison  = "GreaterThanThreshold"
        threshold   = 80
        periods     = 5
        missing     = "notBreaching"
      }
    } : {},
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = local.tags
}
