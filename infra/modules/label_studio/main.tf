# A Label Studio of your own, its database, and a disk for what people upload by hand.

locals {
  database = {
    LABEL_STUDIO_DJANGO_DB    = "default" # PostgreSQL
    LABEL_STUDIO_POSTGRE_HOST = module.postgres.address
    LABEL_STUDIO_POSTGRE_PORT = "5432"
    LABEL_STUDIO_POSTGRE_NAME = module.postgres.database
    LABEL_STUDIO_POSTGRE_USER = module.postgres.user
  }

  # RDS changes the password every week, and a container hears of it only when it starts: one that can't sign in any
  # more is replaced. Its own /health does not ask the database.
  signs_in = join("; ", [
    "import os, psycopg",
    "known = {name: os.environ['LABEL_STUDIO_POSTGRE_' + name.upper()] for name in ('host', 'port', 'user', 'password')}",
    "psycopg.connect(dbname=os.environ['LABEL_STUDIO_POSTGRE_NAME'], connect_timeout=8, **known).close()",
  ])
}

module "web" {
  source         = "../web"
  name           = var.name
  place          = var.place
  door           = var.door
  image          = "heartexlabs/label-studio:${var.release}"
  image_arns     = []
  port           = 8080
  is_read_only   = false # the image is its makers': it runs as a user without rights, but where that one writes is theirs to say
  health_path    = "/health/"
  health_command = ["CMD", "python3", "-c", local.signs_in]
  start_seconds  = 600 # the first time, it makes some hundred tables
  cpu            = var.cpu
  memory_mb      = var.memory_mb
  is_alone       = true # two at once would change the tables under each other
  disk           = merge(module.disk.disk, { path = "/label-studio/data" })

  environment = merge(local.database, {
    LABEL_STUDIO_HOST                        = var.url
    LABEL_STUDIO_USERNAME                    = var.user
    LABEL_STUDIO_CSRF_TRUSTED_ORIGINS        = var.url
    LABEL_STUDIO_CORS_ALLOWED_ORIGINS        = var.url
    LABEL_STUDIO_SESSION_COOKIE_SECURE       = "1" # "true" is no number, and it wants one
    LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK = "true"
    LABEL_STUDIO_SSRF_PROTECTION_ENABLED     = "true"
    LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED = "false"
    LABEL_STUDIO_COLLECT_ANALYTICS           = "false"
    LABEL_STUDIO_LATEST_VERSION_CHECK        = "false"
    LABEL_STUDIO_SENTRY_DSN                  = ""
    LABEL_STUDIO_FRONTEND_SENTRY_DSN         = ""
  })

  secrets = merge(var.secret_arns, { LABEL_STUDIO_POSTGRE_PASSWORD = module.postgres.password_from })
}

# It signs the addresses of pictures, by which browsers fetch them from the store.
data "aws_iam_policy_document" "pictures" {
  statement {
    sid       = "Pictures"
    actions   = ["s3:GetObject"]
    resources = [var.pictures_arn]
  }

  statement {
    sid       = "Listings"
    actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
    resources = [var.bucket_arn]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = [var.place.key_arn]
  }
}

resource "aws_iam_role_policy" "pictures" {
  name   = "pictures"
  role   = module.web.role.name
  policy = data.aws_iam_policy_document.pictures.json
}

module "postgres" {
  source          = "../postgres"
  name            = var.name
  place           = var.place
  client_group_id = module.web.security_group_id
  database        = "labels"
  machine         = var.machine
  is_doubled      = var.is_doubled
}

module "disk" {
  source          = "../disk"
  name            = var.name
  place           = var.place
  client_group_id = module.web.security_group_id
  user_id         = 1001 # the image's own
}
