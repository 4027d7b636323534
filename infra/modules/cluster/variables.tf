variable "name" {
  description = "Begins every name."
  type        = string
}

variable "key_arn" {
  description = "KMS key of everything at rest."
  type        = string
}

variable "image_arns" {
  description = "Repositories whose images may be run."
  type        = list(string)
}

variable "secret_arns" {
  description = "Secrets of workers and runs."
  type        = list(string)
}

variable "secrets_policy_arn" {
  description = "Policy that reads the secrets."
  type        = string
}

variable "store_policy_arn" {
  description = "Policy of what a run does with the store."
  type        = string
}

variable "log_days" {
  description = "Days that logs are kept; one of CloudWatch's own steps."
  type        = number
  default     = 365
}
