# What the variables refuse, and what follows from them; no provider is asked.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "ami-0123456789abcdef0" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:t" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/k" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/r" }
  }

  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/p" }
  }

  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/p" }
  }

  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/loopline" }
  }

  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:u:autoScalingGroupName/g" }
  }

  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:s" }
  }

  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:123456789012:q" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:l" }
  }

  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-central-1:123456789012:rule/r" }
  }

  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/t:1" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::bucket" }
  }

  mock_resource "aws_ecr_repository" {
    defaults = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/i", repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/i" }
  }

  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/l/1", dns_name = "l.example.com", arn_suffix = "app/l/1" }
  }

  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/t/1", arn_suffix = "targetgroup/t/1" }
  }

  mock_resource "aws_db_instance" {
    defaults = { master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1" }] }
  }

  mock_resource "aws_efs_file_system" {
    defaults = { arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
}

variables {
  bucket          = "loopline-of-a-team"
  prefect_api_url = "https://prefect.example.com/api"
  registry_url    = "https://git.example.com/registry.git"
  release         = "v1"

  # Of the modules behind a balancer alone.
  door = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c", internal = true, callers = ["10.42.0.0/16"] }

  place = {
    vpc_id             = "vpc-1"
    private_subnet_ids = ["subnet-1", "subnet-2"]
    public_subnet_ids  = []
    cluster            = { name = "c", arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/c" }
    log_group          = { name = "l", arn = "arn:aws:logs:eu-central-1:123456789012:log-group:l" }
    key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/k"
    disposable         = false
  }
}

run "without_a_gpu_there_is_one_pool" {
  assert {
    condition     = [for pool in output.work_pools : pool.name] == ["loopline-cpu"]
    error_message = "one pool is expected"
  }
}

run "a_run_of_the_gpu_pool_asks_for_a_gpu_and_for_no_fargate" {
  variables {
    gpu    = { most_machines = 3 }
    budget = { monthly_usd = 100, email = "team@example.com" }
  }

  assert {
    condition     = output.work_pools[1].concurrency_limit == 3
    error_message = "the pool's limit is the quota"
  }

  assert {
    condition     = jsondecode(output.work_pools[1].base_job_template).job_configuration.task_definition.containerDefinitions[0].resourceRequirements == [{ type = "GPU", value = "{{ gpu_count }}" }]
    error_message = "no GPU is asked for"
  }

  assert {
    condition     = jsondecode(output.work_pools[1].base_job_template).job_configuration.task_definition.requiresCompatibilities == ["EC2"]
    error_message = "Fargate has no GPU"
  }
}

run "a_quota_of_zero_and_machines_without_a_gpu_are_refused" {
  command = plan

  module {
    source = "./modules/gpu_pool"
  }

  variables {
    name              = "loopline"
    cluster_name      = "loopline"
    subnet_ids        = ["subnet-1"]
    security_group_id = "sg-1"
    job               = {}
    secret_arns       = {}
    most_machines     = 0
    instance_types    = ["m5.large"]
  }

  expect_failures = [var.most_machines, var.instance_types]
}

run "a_bucket_with_dots_is_refused" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    name    = "loopline"
    key_arn = "arn:aws:kms:eu-central-1:123456789012:key/k"
    bucket  = "loopline.of.a.team"
  }

  expect_failures = [var.bucket]
}

run "a_secret_among_the_settings_is_refused" {
  command = plan

  variables {
    environment = { LOOPLINE_COMET__API_KEY = "key" }
  }

  expect_failures = [var.environment]
}

run "workers_that_could_not_sign_in_are_refused" {
  command = plan

  variables {
    secrets = { LOOPLINE_COMET__API_KEY = "Comet's key" }
  }

  expect_failures = [var.secrets]
}

run "a_registry_with_a_password_is_refused" {
  command = plan

  variables {
    registry_url = "https://user:word@git.example.com/registry.git"
  }

  expect_failures = [var.registry_url]
}

run "a_moving_tag_is_refused" {
  command = plan

  variables {
    release = "latest"
  }

  expect_failures = [var.release]
}

run "a_pool_on_kubernetes_without_a_quota_with_a_secret_among_its_settings_and_a_moving_tag_is_refused" {
  command = plan

  module {
    source = "./modules/kubernetes_pool"
  }

  variables {
    name        = "loopline-gpu"
    image       = "registry.example.com/loopline:latest"
    environment = { PREFECT_API_AUTH_STRING = "user:password" }
    most_runs   = 0
    gpu_count   = 3
    tolerations = [{ key = "nvidia.com/gpu", operator = "Equal" }]
  }

  expect_failures = [var.image, var.environment, var.most_runs, var.gpu_count, var.tolerations]
}

run "without_being_asked_for_there_is_no_balancer" {
  assert {
    condition     = output.balancers == {}
    error_message = "nothing was asked for"
  }
}

run "service_server_and_label_studio_are_asked_for_one_by_one" {
  variables {
    service      = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c", release = "v1" }
    label_studio = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c", url = "https://labels.example.com", user = "team@example.com" }
  }

  assert {
    condition     = keys(output.balancers) == ["label_studio", "service"]
    error_message = "one balancer each is expected"
  }

  assert {
    condition     = contains(keys(output.secrets), "LOOPLINE_SERVICE__KEY_HASHES") && contains(keys(output.secrets), "SECRET_KEY")
    error_message = "whoever puts secrets in must be told of these"
  }
}

run "a_service_without_keys_a_moving_tag_and_too_few_zones_are_refused" {
  command = plan

  variables {
    zone_count   = 1
    service      = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c", release = "latest" }
    server       = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c" }
    label_studio = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c", url = "https://labels.example.com", user = "team@example.com" }
  }

  expect_failures = [var.service, var.server, var.label_studio]
}

run "a_server_that_no_worker_could_sign_in_to_is_refused" {
  command = plan

  variables {
    secrets = { PREFECT_API_KEY = "Prefect Cloud's key" }
    server  = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c" }
  }

  expect_failures = [var.server]
}

run "a_service_that_nobody_may_ask_or_whose_tasks_sign_differently_is_refused" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables {
    name        = "loopline-service"
    image       = "images.example.com/service:v1"
    image_arns  = ["arn:aws:ecr:eu-central-1:123456789012:repository/i"]
    bucket_arn  = "arn:aws:s3:::bucket"
    environment = { LOOPLINE_SERVICE__CAPTURE = "true" }
    secret_arns = {}
    memory_mb   = 512
  }

  expect_failures = [var.secret_arns, var.memory_mb]
}

run "plain_http_and_a_mail_address_that_is_none_are_refused" {
  command = plan

  module {
    source = "./modules/label_studio"
  }

  variables {
    name         = "loopline-labels"
    release      = "latest"
    url          = "http://labels.example.com"
    user         = "nobody"
    bucket_arn   = "arn:aws:s3:::bucket"
    pictures_arn = "arn:aws:s3:::bucket/blobs/*"
    secret_arns  = { LABEL_STUDIO_PASSWORD = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:p", SECRET_KEY = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k" }
    memory_mb    = 1024
  }

  expect_failures = [var.release, var.url, var.user, var.memory_mb]
}

run "the_bounds_of_what_stands_behind_a_balancer" {
  command = plan

  module {
    source = "./modules/web"
  }

  variables {
    name                = "a-name-that-no-load-balancer-can-have"
    door                = { certificate_arn = "certificate", internal = true, callers = ["everyone"] }
    image               = "images.example.com:5000/service"
    image_arns          = []
    health_path         = "/"
    port                = 80
    cpu                 = 1000
    memory_mb           = 256
    tmp_mb              = 8
    start_seconds       = 10
    least               = 0
    cpu_percent         = 100
    requests_per_minute = 0
    environment         = {}
    secrets             = {}

    place = {
      vpc_id             = "vpc-1"
      private_subnet_ids = ["subnet-1"]
      public_subnet_ids  = []
      cluster            = { name = "c", arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/c" }
      log_group          = { name = "l", arn = "arn:aws:logs:eu-central-1:123456789012:log-group:l" }
      key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/k"
      disposable         = false
    }
  }

  expect_failures = [
    var.name, var.place, var.door, var.image, var.port, var.cpu, var.memory_mb, var.tmp_mb, var.start_seconds, var.least,
    var.cpu_percent, var.requests_per_minute,
  ]
}

run "at_most_fewer_tasks_than_at_least_are_refused" {
  command = plan

  module {
    source = "./modules/web"
  }

  variables {
    name        = "loopline-service"
    image       = "images.example.com/service:v1"
    image_arns  = []
    health_path = "/"
    port        = 3000
    cpu         = 1024
    memory_mb   = 2048
    least       = 3
    most        = 2
    environment = {}
    secrets     = {}
  }

  expect_failures = [var.most]
}

run "a_prefect_server_by_plain_http_is_refused" {
  command = plan

  module {
    source = "./modules/server"
  }

  variables {
    name            = "loopline-server"
    image           = "images.example.com/cpu:v1"
    image_arns      = []
    url             = "http://prefect.example.com/api"
    auth_string_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a"
    memory_mb       = 512
  }

  expect_failures = [var.url, var.memory_mb]
}

run "the_bounds_of_a_database" {
  command = plan

  module {
    source = "./modules/postgres"
  }

  variables {
    name            = "loopline-server"
    client_group_id = "sg-1"
    database        = "Pre-fect"
    release         = 11
    machine         = "t4g.small"
    most_gb         = 20
    backup_days     = 0
  }

  expect_failures = [var.database, var.release, var.machine, var.most_gb, var.backup_days]
}
