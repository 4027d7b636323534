variable "name" {
  description = "Begins every name."
  type        = string
}

variable "key_arn" {
  description = "KMS key of everything at rest."
  type        = string
}

variable "names" {
  description = "What each secret is, by the environment variable that carries it."
  type        = map(string)

  validation {
    condition     = length(var.names) > 0 && alltrue([for name in keys(var.names) : can(regex("^[A-Z][A-Z0-9_]+$", name))])
    error_message = "names are environment variables, such as PREFECT_API_AUTH_STRING; at least one is wanted."
  }
}

variable "recovery_days" {
  description = "Days that a destroyed secret can be taken back: 0, or 7 to 30."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_days == 0 || (var.recovery_days >= 7 && var.recovery_days <= 30)
    error_message = "recovery_days is ${var.recovery_days}; 0, or 7 to 30, are allowed."
  }
}
