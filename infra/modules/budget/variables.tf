variable "name" {
  description = "Begins every name."
  type        = string
}

variable "worker_role" {
  description = "Role of the workers, which lose their right to start runs."
  type        = object({ name = string, arn = string })
}

variable "spent_topic_arn" {
  description = "Topic that pauses the pools."
  type        = string
}

variable "monthly_usd" {
  description = "US dollars a month, at least 1."
  type        = number

  validation {
    condition     = var.monthly_usd >= 1
    error_message = "monthly_usd is ${var.monthly_usd}; at least 1 is wanted."
  }
}

variable "email" {
  description = "Who is told."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.email))
    error_message = "email is \"${var.email}\", which is no address."
  }
}
