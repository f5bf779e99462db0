# Where Packer gets its builder from. A file of its own: Packers before 1.7 have it inside and do not know the block.

packer {
  required_version = ">= 1.9"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.8, < 2.0"
    }
  }
}
