# Loopline on AWS: a store, its key and secrets, images, and work pools whose machines are there only while they work;
# where asked for, the service, a Prefect server and a Label Studio behind load balancers.

module "key" {
  source = "./modules/key"
  name   = var.name
}

module "storage" {
  source        = "./modules/storage"
  name          = var.name
  bucket        = var.bucket
  key_arn       = module.key.arn
  capture_days  = var.capture_days
  force_destroy = var.disposable
}

module "secrets" {
  source        = "./modules/secrets"
  name          = var.name
  key_arn       = module.key.arn
  names         = var.secrets
  recovery_days = local.recovery_days
}

module "images" {
  source        = "./modules/images"
  name          = var.name
  key_arn       = module.key.arn
  force_destroy = var.disposable
}

module "network" {
  source     = "./modules/network"
  name       = var.name
  key_arn    = module.key.arn
  cidr       = var.cidr
  zone_count = var.zone_count
}

module "cluster" {
  source             = "./modules/cluster"
  name               = var.name
  key_arn            = module.key.arn
  image_arns         = module.images.arns
  secret_arns        = values(module.secrets.arns)
  secrets_policy_arn = module.secrets.read_policy_arn
  store_policy_arn   = module.storage.flows_policy_arn
}

module "gpu_pool" {
  source            = "./modules/gpu_pool"
  count             = var.gpu == null ? 0 : 1
  name              = var.name
  cluster_name      = module.cluster.name
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = module.network.security_group_id
  most_machines     = var.gpu.most_machines
  instance_types    = var.gpu.instance_types
  price             = var.gpu.price
  job               = merge(local.job, { image = "${module.images.urls["gpu"]}:${var.release}" })
  secret_arns       = module.secrets.arns
}

module "cpu_pool" {
  source      = "./modules/cpu_pool"
  name        = var.name
  job         = merge(local.job, { image = "${module.images.urls["cpu"]}:${var.release}" })
  secret_arns = module.secrets.arns
}

module "worker" {
  source             = "./modules/worker"
  name               = var.name
  pools              = toset([for pool in local.pools : pool.name])
  pools_url          = "s3://${aws_s3_object.pools.bucket}/${aws_s3_object.pools.key}"
  image              = "${module.images.urls["cpu"]}:${var.release}"
  cluster_name       = module.cluster.name
  cluster_arn        = module.cluster.arn
  subnet_ids         = module.network.private_subnet_ids
  security_group_id  = module.network.security_group_id
  execution_role_arn = module.cluster.execution_role_arn
  run_role_arn       = module.cluster.run_role_arn
  store_policy_arn   = module.storage.flows_policy_arn
  log_group          = module.cluster.log_group
  environment        = local.environment
  secret_arns        = module.secrets.arns
}

# Secrets of their own: no run reads them.
module "service_secrets" {
  source        = "./modules/secrets"
  count         = var.service == null ? 0 : 1
  name          = "${var.name}-service"
  key_arn       = module.key.arn
  names         = var.service.secrets
  recovery_days = local.recovery_days
}

module "service" {
  source              = "./modules/service"
  count               = var.service == null ? 0 : 1
  name                = "${var.name}-service"
  place               = local.place
  door                = local.doors.service
  image               = "${module.images.urls["service"]}:${var.service.release}"
  image_arns          = module.images.arns
  bucket_arn          = module.storage.arn
  cpu                 = var.service.cpu
  memory_mb           = var.service.memory_mb
  least               = var.service.least
  most                = var.service.most
  cpu_percent         = var.service.cpu_percent
  requests_per_minute = var.service.requests_per_minute
  environment         = merge(local.store, var.service.environment)
  secret_arns         = module.service_secrets[0].arns
}

module "server" {
  source          = "./modules/server"
  count           = var.server == null ? 0 : 1
  name            = "${var.name}-server"
  place           = local.place
  door            = local.doors.server
  image           = "${module.images.urls["cpu"]}:${var.release}"
  image_arns      = module.images.arns
  url             = var.prefect_api_url
  auth_string_arn = module.secrets.arns["PREFECT_API_AUTH_STRING"]
  cpu             = var.server.cpu
  memory_mb       = var.server.memory_mb
  machine         = var.server.machine
  is_doubled      = var.server.is_doubled
}

module "label_studio_secrets" {
  source        = "./modules/secrets"
  count         = var.label_studio == null ? 0 : 1
  name          = "${var.name}-labels"
  key_arn       = module.key.arn
  recovery_days = local.recovery_days

  names = {
    LABEL_STUDIO_PASSWORD = "Password of Label Studio's first user"
    SECRET_KEY            = "By which Label Studio signs what people sign in with: 50 random characters"
  }
}

module "label_studio" {
  source       = "./modules/label_studio"
  count        = var.label_studio == null ? 0 : 1
  name         = "${var.name}-labels"
  place        = local.place
  door         = local.doors.label_studio
  release      = var.label_studio.release
  url          = var.label_studio.url
  user         = var.label_studio.user
  bucket_arn   = module.storage.arn
  pictures_arn = "${module.storage.arn}/${trimprefix("${lookup(var.environment, "LOOPLINE_STORE__PREFIX", "")}/", "/")}blobs/*"
  secret_arns  = module.label_studio_secrets[0].arns
  cpu          = var.label_studio.cpu
  memory_mb    = var.label_studio.memory_mb
  machine      = var.label_studio.machine
  is_doubled   = var.label_studio.is_doubled
}

module "budget" {
  source          = "./modules/budget"
  count           = var.budget == null ? 0 : 1
  name            = var.name
  worker_role     = module.worker.role
  spent_topic_arn = module.worker.spent_topic_arn
  monthly_usd     = var.budget.monthly_usd
  email           = var.budget.email
}

locals {
  pools = concat([module.cpu_pool.work_pool], module.gpu_pool[*].work_pool)

  recovery_days = var.disposable ? 0 : 30

  # Where the service, the Prefect server and Label Studio are.
  place = {
    vpc_id             = module.network.vpc_id
    private_subnet_ids = module.network.private_subnet_ids
    public_subnet_ids  = module.network.public_subnet_ids
    cluster            = { name = module.cluster.name, arn = module.cluster.arn }
    log_group          = module.cluster.log_group
    key_arn            = module.key.arn
    disposable         = var.disposable
  }

  # Who comes in: whoever is in the network, or with a public address all, unless networks are named.
  doors = {
    for name, it in { service = var.service, server = var.server, label_studio = var.label_studio } : name => {
      certificate_arn         = it.certificate_arn
      internal                = it.internal
      callers                 = coalesce(it.callers, [it.internal ? var.cidr : "0.0.0.0/0"])
    } if it != null
  }

  store = {
    LOOPLINE_STORE__ENDPOINT = "aws"
    LOOPLINE_STORE__BUCKET   = var.bucket
    LOOPLINE_STORE__REGION   = data.aws_region.this.name
  }

  # Settings of every worker and run. Where things are; never a secret.
  environment = merge(
    local.store,
    {
      LOOPLINE_REGISTRY__URL      = var.registry_url
      LOOPLINE_PREFECT__API_URL   = var.prefect_api_url
      LOOPLINE_PREFECT__POOL      = "${var.name}-cpu"
      PREFECT_API_URL             = var.prefect_api_url
      LOOPLINE_TRAIN__ACCELERATOR = "auto"
    },
    var.gpu == null ? {} : {
      LOOPLINE_PREFECT__GPU_POOL       = "${var.name}-gpu"
      LOOPLINE_PREFECT__GPU_DEPLOYMENT = "fit-model/gpu"
    },
    var.label_studio == null ? {} : { LOOPLINE_LABEL_STUDIO__URL = var.label_studio.url },
    var.environment,
  )

  job = merge(local.passwords, {
    cluster                         = module.cluster.arn
    execution_role_arn              = module.cluster.execution_role_arn
    task_role_arn                   = module.cluster.run_role_arn
    vpc_id                          = module.network.vpc_id
    network_configuration           = { subnets = module.network.private_subnet_ids, securityGroups = [module.network.security_group_id] }
    env                             = local.environment
    labels                          = { project = var.name } # tags of a run's task, which a budget goes by
    configure_cloudwatch_logs       = true
    cloudwatch_logs_options         = { awslogs-group = module.cluster.log_group.name, awslogs-create-group = "false" }
    cloudwatch_logs_prefix          = "run"
    auto_deregister_task_definition = true
  })

  # A worker puts what it signs in with into each run's environment, in clear, unless it is told where the secret is.
  passwords = {
    for variable, name in {
      prefect_api_key_secret_arn         = "PREFECT_API_KEY"
      prefect_api_auth_string_secret_arn = "PREFECT_API_AUTH_STRING"
    } : variable => module.secrets.arns[name] if contains(keys(var.secrets), name)
  }
}

data "aws_region" "this" {}

# What a worker brings to Prefect before it begins; other pools have another name, so that the workers are started anew.
# Addresses of secrets, and no secret.
resource "aws_s3_object" "pools" {
  bucket       = module.storage.bucket
  key          = "infra/pools/${sha256(jsonencode(local.pools))}.json"
  content      = jsonencode(local.pools)
  content_type = "application/json"
}
