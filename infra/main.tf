# Loopline on AWS: a store, its key and secrets, images, and work pools whose machines are there only while they work.

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
  recovery_days = var.disposable ? 0 : 30
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

  # Settings of every worker and run. Where things are; never a secret.
  environment = merge(
    {
      LOOPLINE_STORE__ENDPOINT    = "aws"
      LOOPLINE_STORE__BUCKET      = var.bucket
      LOOPLINE_STORE__REGION      = data.aws_region.this.name
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
    var.environment,
  )

  job = merge(local.passwords, {
    cluster                         = module.cluster.arn
    execution_role_arn              = module.cluster.execution_role_arn
    task_role_arn                   = module.cluster.run_role_arn
    vpc_id                          = module.network.vpc_id
    network_configuration           = { subnets = module.network.private_subnet_ids, securityGroups = [module.network.security_group_id] }
    env                             = local.environment
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
