# The released model's service: as many tasks as are asked for, each a container that writes nothing but to /tmp.

locals {
  captures = lookup(var.environment, "LOOPLINE_SERVICE__CAPTURE", "false") == "true"
  root     = trimprefix("${lookup(var.environment, "LOOPLINE_STORE__PREFIX", "")}/", "/")
}

module "web" {
  source              = "../web"
  name                = var.name
  place               = var.place
  door                = var.door
  image               = var.image
  image_arns          = var.image_arns
  user                = "10001:10001" # the image's own reader
  port                = 3000
  health_path         = "/readyz"
  cpu                 = var.cpu
  memory_mb           = var.memory_mb
  tmp_mb              = 512 # what waits for the store is there too
  least               = var.least
  most                = var.most
  cpu_percent         = var.cpu_percent
  requests_per_minute = var.requests_per_minute
  secrets             = var.secret_arns

  # Its own default is 5 s, less than the balancer's: each connection that ends in between would cost a caller a 502.
  command = ["bentoml", "serve", ".", "--host", "0.0.0.0", "--port", "3000", "--timeout-keep-alive", "60"]

  environment = merge(var.environment, { LOOPLINE_SERVICE__SPOOL = "/tmp/spool" })
}

# Where captures are kept, what was asked goes to captured/ and its figures to traffic/. Nothing of the store is read.
data "aws_iam_policy_document" "captures" {
  count = local.captures ? 1 : 0

  statement {
    sid       = "Captures"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [for folder in ["captured", "traffic"] : "${var.bucket_arn}/${local.root}${folder}/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"] # the first for what is sent in parts
    resources = [var.place.key_arn]
  }
}

resource "aws_iam_role_policy" "captures" {
  count = local.captures ? 1 : 0

  name   = "captures"
  role   = module.web.role.name
  policy = data.aws_iam_policy_document.captures[0].json
}
