terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # terraform init -backend-config=bucket=YOUR-STATE-BUCKET -backend-config=region=eu-central-1
  backend "s3" {
    key          = "loopline/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = var.name, managed-by = "terraform" }
  }
}
