# What AWS knows of the service, on one page.

locals {
  charts = concat([
    {
      title = "Connections"
      stat  = "Average"
      metrics = [for zone in local.balancer_zones :
        ["AWS/NetworkELB", "ActiveFlowCount", "LoadBalancer", aws_lb.this.arn_suffix, "AvailabilityZone", zone, { label = zone }]
      ]
    },
    {
      title   = "New connections per minute"
      stat    = "Sum"
      metrics = [["AWS/NetworkELB", "NewFlowCount", "LoadBalancer", aws_lb.this.arn_suffix]]
    },
    {
      title = "Nodes"
      stat  = "Average"
      metrics = [for metric in ["GroupInServiceInstances", "GroupDesiredCapacity", "GroupPendingInstances", "GroupTerminatingInstances"] :
        ["AWS/AutoScaling", metric, "AutoScalingGroupName", aws_autoscaling_group.nodes.name]
      ]
    },
    {
      title = "Nodes that are not ready"
      stat  = "Maximum"
      metrics = [for port, group in aws_lb_target_group.this :
        ["AWS/NetworkELB", "UnHealthyHostCount", "TargetGroup", group.arn_suffix, "LoadBalancer", aws_lb.this.arn_suffix, { label = port }]
      ]
    },
    {
      title   = "Processors of the nodes, percent"
      stat    = "Average"
      metrics = [["AWS/EC2", "CPUUtilization", "AutoScalingGroupName", aws_autoscaling_group.nodes.name]]
    },
    {
      title = "Capacity consumed per minute"
      stat  = "Sum"
      metrics = flatten([for table, name in local.table_names : [for metric in ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"] :
        [["AWS/DynamoDB", metric, "TableName", name, { label = "${table} ${metric == "ConsumedReadCapacityUnits" ? "reads" : "writes"}" }]]
      ]])
    },
    {
      title = "Requests that were throttled"
      stat  = "Sum"
      metrics = [for table, name in local.table_names :
        ["AWS/DynamoDB", "ThrottledRequests", "TableName", name, { label = table }]
      ]
    },
    {
      title = "Time of reads and writes, ms"
      stat  = "Average"
      metrics = flatten([for table, name in local.table_names : [for operation in ["GetItem", "Query", "PutItem", "TransactWriteItems"] :
        [["AWS/DynamoDB", "SuccessfulRequestLatency", "TableName", name, "Operation", operation, { label = "${table} ${operation}" }]]
      ]])
    },
    ], local.has_cache ? [{
      title = "Cache"
      stat  = "Sum"
      metrics = [for metric in ["GetHits", "GetMisses", "Evictions"] :
        ["AWS/ElastiCache", metric, "CacheClusterId", aws_elasticache_cluster.memcached[0].cluster_id]
      ]
  }] : [])
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for number, chart in local.charts : {
      type   = "metric"
      x      = number % 2 * 12
      y      = floor(number / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = chart.title
        region  = local.region
        stat    = chart.stat
        period  = 60
        view    = "timeSeries"
        metrics = chart.metrics
      }
    }]
  })
}
