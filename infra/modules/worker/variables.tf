variable "name" {
  description = "Begins every name."
  type        = string
}

variable "pools" {
  description = "Names of the work pools, a worker each."
  type        = set(string)
}

variable "pools_url" {
  description = "Where the pools' templates are, such as s3://bucket/infra/pools.json."
  type        = string
}

variable "image" {
  description = "Image of the worker, with its tag."
  type        = string
}

variable "cluster_name" {
  description = "ECS cluster of workers and runs."
  type        = string
}

variable "cluster_arn" {
  description = "Its ARN."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "security_group_id" {
  description = "Group of workers and runs."
  type        = string
}

variable "execution_role_arn" {
  description = "Role with which ECS starts containers."
  type        = string
}

variable "run_role_arn" {
  description = "Role of a run, which a worker hands on."
  type        = string
}

variable "store_policy_arn" {
  description = "Policy of what is done with the store."
  type        = string
}

variable "log_group" {
  description = "Where runs and workers write."
  type        = object({ name = string, arn = string })
}

variable "environment" {
  description = "Settings of workers and runs; no secret."
  type        = map(string)
}

variable "secret_arns" {
  description = "Secrets, by environment variable."
  type        = map(string)
}
