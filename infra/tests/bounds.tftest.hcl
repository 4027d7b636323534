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

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
}

variables {
  bucket          = "loopline-of-a-team"
  prefect_api_url = "https://prefect.example.com/api"
  registry_url    = "https://git.example.com/registry.git"
  release         = "v1"
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
