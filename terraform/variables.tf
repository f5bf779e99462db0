# What is served.

variable "domains" {
  description = "The domains whose accounts are served; the first is the main one."
  type        = list(string)

  validation {
    condition     = length(var.domains) > 0 && length(distinct(var.domains)) == length(var.domains)
    error_message = "Name at least one domain, and each once."
  }
  validation {
    condition = alltrue([
      for domain in var.domains : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$", domain))
    ])
    error_message = "A domain is written in lower case, as DNS has it: example.org."
  }
}

variable "name" {
  description = "The cluster's name: what the names of all resources begin with, the value of the tag `starling-cluster`, and, with a hyphen behind it, the prefix of the tables."
  type        = string
  default     = "starling"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name)) && !endswith(var.name, "-")
    error_message = "2 to 20 characters: lower-case letters, digits, hyphens; a letter first, no hyphen last."
  }
}

variable "configuration" {
  description = "Configuration of the nodes in TOML, behind what the module writes: sections such as [auth], [archive], [limits.connections]. What the module writes itself (domains, http, [storage], [cluster], [[listeners]]) may not stand here again."
  type        = string
  default     = ""

  validation {
    condition     = !can(regex("(?m)^\\s*(domains|http)\\s*=", var.configuration)) && !can(regex("(?m)^\\s*\\[+\\s*(storage|cluster|cluster\\.ec2|cluster\\.redis|storage\\.memcached|listeners)\\s*\\]", var.configuration))
    error_message = "The module writes domains, http, [storage], [storage.memcached], [cluster], [cluster.ec2], [cluster.redis] and [[listeners]]: set them by its variables."
  }
}

variable "top_level_configuration" {
  description = "Keys of the configuration that stand before its first section, in TOML: `shutdown_grace = \"20s\"`, `admins = [\"alice@example.org\"]`."
  type        = string
  default     = ""

  validation {
    condition     = !can(regex("(?m)^\\s*\\[", var.top_level_configuration)) && !can(regex("(?m)^\\s*(domains|http)\\s*=", var.top_level_configuration))
    error_message = "Keys only; sections go into `configuration`, domains into `domains`, and `http` is the module's."
  }
}

variable "tags" {
  description = "Tags of all resources, beside those of the provider."
  type        = map(string)
  default     = {}
}

# The network.

variable "vpc" {
  description = "An existing VPC: its id, the subnets of the load balancer and those of the nodes. Without it one is made, see `vpc_cidr`, `zones` and `egress`."
  type = object({
    id               = string
    balancer_subnets = list(string)
    node_subnets     = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : length(var.vpc.balancer_subnets) > 0 && length(var.vpc.node_subnets) > 0
    error_message = "Name at least one subnet of the load balancer and one of the nodes."
  }
}

variable "vpc_cidr" {
  description = "The addresses of the VPC that is made."
  type        = string
  default     = "10.83.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 15)) && tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 22
    error_message = "A network of IPv4 between /16 and /22, such as 10.83.0.0/16."
  }
}

variable "zones" {
  description = "In how many availability zones. Three keep a majority when one is lost."
  type        = number
  default     = 3

  validation {
    condition     = contains([1, 2, 3, 4, 5, 6], var.zones)
    error_message = "1 to 6."
  }
}

variable "egress" {
  description = "How nodes of a VPC that is made reach AWS. `public`: they have public addresses, closed by their security group; costs nothing. `nat`: one NAT gateway for all zones. `nat_per_zone`: one in each. `endpoints`: nothing but interface endpoints of the services that nodes use, and so no way to the internet."
  type        = string
  default     = "public"

  validation {
    condition     = contains(["public", "nat", "nat_per_zone", "endpoints"], var.egress)
    error_message = "One of public, nat, nat_per_zone, endpoints."
  }
}

variable "flow_logs" {
  description = "Whether connections that a VPC that is made refuses are written to a log group."
  type        = bool
  default     = false
}

variable "client_networks" {
  description = "From where clients may come."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.client_networks) > 0 && alltrue([for network in var.client_networks : can(cidrnetmask(network))])
    error_message = "Networks of IPv4, such as 0.0.0.0/0."
  }
}

variable "monitoring_networks" {
  description = "From where metrics may be read at port 5280 of each node: your Prometheus. Never the internet."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for network in var.monitoring_networks : can(cidrnetmask(network)) && try(tonumber(split("/", network)[1]), 0) >= 8])
    error_message = "Networks of IPv4 of /8 or smaller: metrics are not for the internet."
  }
}

# The load balancer.

variable "ports" {
  description = "Where clients reach the load balancer, and what stands behind it: `starttls` or `direct` TLS."
  type        = map(string)
  default = {
    5222 = "starttls"
    5223 = "direct"
    443  = "direct"
  }

  validation {
    condition     = length(var.ports) > 0 && alltrue([for port, security in var.ports : contains(["starttls", "direct"], security) && try(tonumber(port) > 0 && tonumber(port) < 65536, false)])
    error_message = "Ports between 1 and 65535, each `starttls` or `direct`."
  }
}

variable "federation" {
  description = "Whether other servers may come, at port 5269. Of no use before the server federates; then it listens there."
  type        = bool
  default     = false
}

variable "internal" {
  description = "Whether the load balancer is inside the VPC only."
  type        = bool
  default     = false
}

variable "idle_timeout" {
  description = "After how many seconds without a byte the load balancer forgets a connection. Nodes ask a silent client for a sign of life after five minutes (`limits.idle_ping`), so more than that."
  type        = number
  default     = 1800

  validation {
    condition     = var.idle_timeout >= 360 && var.idle_timeout <= 6000
    error_message = "360 to 6000 seconds."
  }
}

variable "deregistration_delay" {
  description = "How many seconds the load balancer leaves open what goes to a node that it sends no one else to. The node hands its sessions over and closes them meanwhile; connections are not cut at the end."
  type        = number
  default     = 60

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600
    error_message = "0 to 3600 seconds."
  }
}

variable "cross_zone" {
  description = "Whether the load balancer of a zone uses nodes of others. Without it a zone with few nodes gets as many clients as one with many."
  type        = bool
  default     = true
}

# Nodes.

variable "ami_id" {
  description = "The image of the nodes: deploy/packer makes it."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.ami_id))
    error_message = "The id of an image: ami-0123456789abcdef0."
  }
}

variable "instance_type" {
  description = "The type of the instances; its architecture is the image's."
  type        = string
  default     = "c7g.large"
}

variable "spot" {
  description = "To use spot instances: how many are on demand at the least, which part above that (percent), and which other types will do."
  type = object({
    on_demand_base       = number
    on_demand_percentage = number
    other_types          = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.spot == null ? true : var.spot.on_demand_base >= 0 && var.spot.on_demand_percentage >= 0 && var.spot.on_demand_percentage <= 100
    error_message = "A base of 0 or more, and 0 to 100 percent."
  }
}

variable "nodes" {
  description = "How many nodes at the least and at the most. Three are the fewest of which one may fail without the others losing their majority."
  type = object({
    min = number
    max = number
  })
  default = { min = 3, max = 6 }

  validation {
    condition     = var.nodes.min >= 1 && var.nodes.max >= var.nodes.min && var.nodes.max <= 100
    error_message = "At least 1, at most 100, and max not below min."
  }
}

variable "sessions_per_node" {
  description = "Connections of clients to a node, on average, beyond which a node is added. They are counted by the load balancer. An idle session over TLS takes about 6 KiB of memory; what limits a node is what its sessions do."
  type        = number
  default     = 50000

  validation {
    condition     = var.sessions_per_node >= 100
    error_message = "100 or more."
  }
}

variable "cpu_percent" {
  description = "Use of the processor, on average, beyond which a node is added."
  type        = number
  default     = 60

  validation {
    condition     = var.cpu_percent >= 10 && var.cpu_percent <= 90
    error_message = "10 to 90 percent."
  }
}

variable "warm_up" {
  description = "Seconds from the moment when a node serves until it counts for scaling."
  type        = number
  default     = 120

  validation {
    condition     = var.warm_up >= 0 && var.warm_up <= 3600
    error_message = "0 to 3600 seconds."
  }
}

variable "launch_timeout" {
  description = "Seconds that an instance has from its launch until its node serves; then it is given up and another is launched."
  type        = number
  default     = 300

  validation {
    condition     = var.launch_timeout >= 60 && var.launch_timeout <= 7200
    error_message = "60 to 7200 seconds."
  }
}

variable "drain_heartbeat" {
  description = "Seconds without a sign of life from a node that leaves, after which its instance ends all the same. The node gives three signs in that time as long as it hands over."
  type        = number
  default     = 120

  validation {
    condition     = var.drain_heartbeat >= 30 && var.drain_heartbeat <= 7200
    error_message = "30 to 7200 seconds."
  }
}

variable "replace_unready" {
  description = "Whether the group replaces instances whose /ready has failed, and not only those that EC2 calls broken. Off by default: when the nodes have lost their majority all of them are not ready, and replacing all makes it worse. The load balancer sends nobody to a node that is not ready in either case, and an alarm tells of it."
  type        = bool
  default     = false
}

variable "volume_gib" {
  description = "Size of the root volume. Nodes keep nothing on it but logs."
  type        = number
  default     = 10

  validation {
    condition     = var.volume_gib >= 8
    error_message = "8 GiB or more."
  }
}

variable "wait_for_capacity_timeout" {
  description = "How long Terraform waits for the first nodes to serve; \"0\": it does not."
  type        = string
  default     = "10m"
}

variable "extra_policy_arns" {
  description = "Policies that the role of the nodes gets beside its own, such as AmazonSSMManagedInstanceCore for an image with the SSM agent."
  type        = list(string)
  default     = []
}

# State.

variable "bucket_name" {
  description = "The bucket of large values; without it `<name>-<account>-<region>`, which is also where a node looks that is given nothing but a domain, if the name is `starling`."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` removes a bucket that is not empty, and so messages. For trials."
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Whether tables and load balancer refuse to be deleted."
  type        = bool
  default     = true
}

variable "point_in_time_recovery" {
  description = "Whether tables can be restored to any moment of the last 35 days. The bucket keeps what was removed for as long."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "A key of KMS for tables, bucket, volumes and log groups. Without it each service uses one of its own. The key's policy must let the services use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "The ARN of a key, not of an alias."
  }
}

variable "infrequent_access_days" {
  description = "After how many days objects are moved to a class that costs less to keep and more to read; null: never."
  type        = number
  default     = null

  validation {
    condition     = var.infrequent_access_days == null ? true : var.infrequent_access_days >= 30
    error_message = "30 days or more."
  }
}

variable "memcached" {
  description = "A cache in front of the tables: type and number of its nodes; null: none."
  type = object({
    node_type = optional(string, "cache.t4g.small")
    nodes     = optional(number, 2)
  })
  default = null

  validation {
    condition     = var.memcached == null ? true : var.memcached.nodes >= 1 && var.memcached.nodes <= 40
    error_message = "1 to 40 nodes."
  }
}

variable "valkey" {
  description = "Valkey as the directory of members, in place of Raft among the nodes: type and number of its nodes; null: Raft."
  type = object({
    node_type = optional(string, "cache.t4g.small")
    nodes     = optional(number, 2)
  })
  default = null

  validation {
    condition     = var.valkey == null ? true : var.valkey.nodes >= 2 && var.valkey.nodes <= 6
    error_message = "2 to 6 nodes: one that is alone cannot fail over."
  }
}

# Names.

variable "dns_zones" {
  description = "The zone of Route 53 of each domain that gets SRV records: { \"example.org\" = \"Z0123456789\" }."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.dns_zones), var.domains)) == 0
    error_message = "Only domains that are served have records."
  }
}

variable "host" {
  description = "The name of the load balancer, in the zone of the main domain; without it `xmpp.` and the main domain."
  type        = string
  default     = null
}

# Watching.

variable "alarm_actions" {
  description = "What is told of alarms: ARNs of SNS topics."
  type        = list(string)
  default     = []
}

variable "logs" {
  description = "Whether there is a log group for what nodes log. The image has Amazon's agent, which sends it."
  type        = bool
  default     = true
}

variable "log_days" {
  description = "For how many days logs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.log_days)
    error_message = "A number of days that CloudWatch knows: 7, 14, 30, 60, 90, 180, 365, ..."
  }
}

variable "dashboard" {
  description = "Whether there is a dashboard in CloudWatch. Those in deploy/grafana show more."
  type        = bool
  default     = true
}
