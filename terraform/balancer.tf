# TCP is passed through: TLS, and with it who the client is, ends at the node. Clients keep their address.

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:a load balancer of TCP has no access logs; AWS writes them for its own TLS only
  #checkov:skip=CKV_AWS_150:trials are to go again (deletion_protection)
  #checkov:skip=CKV2_AWS_28:a web firewall is for HTTP
  name                             = var.name
  load_balancer_type               = "network"
  internal                         = var.internal
  subnets                          = local.balancer_subnets
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = var.cross_zone
  enable_deletion_protection       = var.deletion_protection
  tags                             = local.tags
}

resource "aws_lb_target_group" "this" {
  for_each = local.target_ports

  name                 = "${var.name}-${each.key}"
  port                 = tonumber(each.key)
  protocol             = "TCP"
  target_type          = "instance"
  vpc_id               = local.vpc_id
  preserve_client_ip   = "true"
  proxy_protocol_v2    = false
  deregistration_delay = var.deregistration_delay
  # The node closes what it has handed over. What is left is cut by its end, not by a clock.
  connection_termination = false
  tags                   = local.tags

  health_check {
    protocol            = "HTTP"
    port                = tostring(local.http_port)
    path                = "/ready"
    matcher             = "200"
    interval            = 10
    timeout             = 6
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "this" {
  for_each = local.listeners

  load_balancer_arn        = aws_lb.this.arn
  port                     = tonumber(each.key)
  protocol                 = "TCP"
  tcp_idle_timeout_seconds = var.idle_timeout
  tags                     = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[tostring(each.value)].arn
  }
}
