# A VPC of its own, unless one is given: public subnets for the load balancer, and for nodes if they may have public
# addresses; private ones for nodes and caches otherwise.

data "aws_availability_zones" "this" {
  count = local.makes_vpc ? 1 : 0
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_subnet" "balancer" {
  count = local.makes_vpc ? 0 : length(var.vpc.balancer_subnets)
  id    = var.vpc.balancer_subnets[count.index]
}

locals {
  makes_vpc  = var.vpc == null
  is_private = local.makes_vpc && var.egress != "public"
  zone_names = local.makes_vpc ? slice(data.aws_availability_zones.this[0].names, 0, var.zones) : []
  nat_zones  = local.makes_vpc ? { nat = slice(local.zone_names, 0, 1), nat_per_zone = local.zone_names } : {}
  nats       = toset(lookup(local.nat_zones, var.egress, []))

  vpc_id           = local.makes_vpc ? aws_vpc.this[0].id : var.vpc.id
  balancer_subnets = local.makes_vpc ? [for zone in local.zone_names : aws_subnet.public[zone].id] : var.vpc.balancer_subnets
  node_subnets = !local.makes_vpc ? var.vpc.node_subnets : (
    local.is_private ? [for zone in local.zone_names : aws_subnet.private[zone].id] : local.balancer_subnets
  )
  balancer_zones = local.makes_vpc ? local.zone_names : sort(distinct(data.aws_subnet.balancer[*].availability_zone))

  # Services that nodes ask by their interface endpoint where there is no other way out. DynamoDB and S3 have gateways.
  interface_services = local.makes_vpc && var.egress == "endpoints" ? toset(concat(["ec2", "autoscaling"], var.logs ? ["logs"] : [])) : toset([])
}

resource "aws_vpc" "this" {
  count = local.makes_vpc ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(local.tags, { Name = var.name })
}

# What nobody names gets nothing.
resource "aws_default_security_group" "closed" {
  count  = local.makes_vpc ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${var.name}-closed" })
}

resource "aws_internet_gateway" "this" {
  count  = local.makes_vpc ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = var.name })
}

resource "aws_subnet" "public" {
  for_each = toset(local.zone_names)

  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, index(local.zone_names, each.key))
  tags              = merge(local.tags, { Name = "${var.name}-public-${each.key}" })
}

resource "aws_route_table" "public" {
  count  = local.makes_vpc ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${var.name}-public" })
}

resource "aws_route" "public" {
  count = local.makes_vpc ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_subnet" "private" {
  for_each = toset(local.is_private ? local.zone_names : [])

  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, 8 + index(local.zone_names, each.key))
  tags              = merge(local.tags, { Name = "${var.name}-private-${each.key}" })
}

# One for each zone, so that a zone can have a NAT gateway of its own.
resource "aws_route_table" "private" {
  for_each = aws_subnet.private

  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${var.name}-private-${each.key}" })
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[each.key].id
}

resource "aws_eip" "nat" {
  for_each = local.nats

  domain = "vpc"
  tags   = merge(local.tags, { Name = "${var.name}-nat-${each.key}" })
}

resource "aws_nat_gateway" "this" {
  for_each = local.nats

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = merge(local.tags, { Name = "${var.name}-${each.key}" })
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route" "private" {
  for_each = length(local.nats) > 0 ? aws_route_table.private : {}

  route_table_id         = each.value.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[contains(local.nats, each.key) ? each.key : local.zone_names[0]].id
}

# Tables and objects are reached inside AWS's network, which also costs nothing by the byte.
resource "aws_vpc_endpoint" "gateway" {
  for_each = toset(local.makes_vpc ? ["dynamodb", "s3"] : [])

  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = concat(aws_route_table.public[*].id, [for table in aws_route_table.private : table.id])
  tags              = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_services

  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = aws_security_group.endpoints[*].id
  tags                = merge(local.tags, { Name = "${var.name}-${each.key}" })
}
