# What is refused before anything is made.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  domains = ["example.org"]
  ami_id  = "ami-0123456789abcdef0"
}

run "no_domain" {
  command = plan
  variables {
    domains = []
  }
  expect_failures = [var.domains]
}

run "a_domain_that_is_none" {
  command = plan
  variables {
    domains = ["Example"]
  }
  expect_failures = [var.domains]
}

run "a_long_name" {
  command = plan
  variables {
    name = "a-name-that-is-far-too-long"
  }
  expect_failures = [var.name]
}

run "what_the_module_writes" {
  command = plan
  variables {
    configuration = "[storage]\nbackend = \"memory\""
  }
  expect_failures = [var.configuration]
}

run "a_section_before_all_others" {
  command = plan
  variables {
    top_level_configuration = "[auth]"
  }
  expect_failures = [var.top_level_configuration]
}

run "metrics_for_the_internet" {
  command = plan
  variables {
    monitoring_networks = ["0.0.0.0/0"]
  }
  expect_failures = [var.monitoring_networks]
}

run "a_small_network" {
  command = plan
  variables {
    vpc_cidr = "10.0.0.0/24"
  }
  expect_failures = [var.vpc_cidr]
}

run "another_way_out" {
  command = plan
  variables {
    egress = "proxy"
  }
  expect_failures = [var.egress]
}

run "a_port_that_is_none" {
  command = plan
  variables {
    ports = { 70000 = "direct" }
  }
  expect_failures = [var.ports]
}

run "forgotten_before_a_node_asks" {
  command = plan
  variables {
    idle_timeout = 300
  }
  expect_failures = [var.idle_timeout]
}

run "fewer_at_the_most" {
  command = plan
  variables {
    nodes = { min = 3, max = 2 }
  }
  expect_failures = [var.nodes]
}

run "no_image" {
  command = plan
  variables {
    ami_id = "debian"
  }
  expect_failures = [var.ami_id]
}

run "records_of_others" {
  command = plan
  variables {
    dns_zones = { "example.com" = "Z" }
  }
  expect_failures = [var.dns_zones]
}

run "one_that_cannot_fail_over" {
  command = plan
  variables {
    valkey = { nodes = 1 }
  }
  expect_failures = [var.valkey]
}

run "a_bucket_that_is_none" {
  command = plan
  variables {
    bucket_name = "Example_Bucket"
  }
  expect_failures = [aws_s3_bucket.this]
}

run "more_than_user_data_take" {
  command = plan
  variables {
    configuration = join("\n", [for number in range(1000) : "# a line that is long enough, ${number}"])
  }
  expect_failures = [aws_launch_template.nodes]
}
