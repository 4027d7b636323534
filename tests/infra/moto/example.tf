# Beside the provider block of a copy of an example: what moto lacks, and AWS has. Never used in production.

provider "aws" {
  access_key                  = "testing"
  secret_key                  = "testing"
  max_retries                 = 3
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

terraform {
  backend "local" {}
}
