# By what clients find the service: SRV records of each domain (RFC 6120 section 3.2.1, XEP-0368), and the name that these point at.

locals {
  # STARTTLS, direct TLS, and other servers, with the port of each at the load balancer.
  services = concat(
    [for port, security in var.ports : {
      name     = security == "starttls" ? "_xmpp-client._tcp" : "_xmpps-client._tcp"
      port     = tonumber(port)
      priority = security == "direct" && port == "443" ? 20 : 10
    }],
    var.federation ? [{ name = "_xmpp-server._tcp", port = 5269, priority = 10 }] : [],
  )
  records = merge([for domain, zone in var.dns_zones : {
    for name in distinct(local.services[*].name) : "${name}.${domain}" => {
      zone   = zone
      values = sort([for service in local.services : "${service.priority} 0 ${service.port} ${local.host}." if service.name == name])
    }
  }]...)
  host_zone = lookup(var.dns_zones, var.domains[0], null)
}

resource "aws_route53_record" "host" {
  count = local.host_zone == null ? 0 : 1

  zone_id = local.host_zone
  name    = local.host
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_record" "services" {
  for_each = local.records

  zone_id = each.value.zone
  name    = each.key
  type    = "SRV"
  ttl     = 300
  records = each.value.values
}
