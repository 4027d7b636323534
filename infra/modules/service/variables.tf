variable "name" {
  description = "Name of everything of it."
  type        = string
}

variable "place" {
  description = "Where it is, as module web takes it."
  type = object({
    vpc_id             = string
    private_subnet_ids = list(string)
    public_subnet_ids  = list(string)
    cluster            = object({ name = string, arn = string })
    log_group          = object({ name = string, arn = string })
    key_arn            = string
    disposable         = bool
  })
}

variable "door" {
  description = "Who comes in, as module web takes it."
  type        = object({ certificate_arn = string, internal = bool, callers = list(string) })
}

variable "image" {
  description = "The service's image, with its tag."
  type        = string
}

variable "image_arns" {
  description = "Repositories whose images may be fetched."
  type        = list(string)
}

variable "bucket_arn" {
  description = "The store's bucket."
  type        = string
}

variable "cpu" {
  description = "Of one task, 1024 a core."
  type        = number
  default     = 1024
}

variable "memory_mb" {
  description = "Of one task, 1024 to 122880, /tmp and what waits there included."
  type        = number
  default     = 2048

  validation {
    condition     = var.memory_mb >= 1024 && var.memory_mb <= 122880
    error_message = "memory_mb is ${var.memory_mb}; 1024 to 122880 are allowed."
  }
}

variable "least" {
  description = "Tasks that always run, 1 to 100; two outlive a zone."
  type        = number
  default     = 2
}

variable "most" {
  description = "Tasks that run at most, least to 100."
  type        = number
  default     = 6
}

variable "cpu_percent" {
  description = "Load of a task beyond which another one begins, 10 to 90."
  type        = number
  default     = 60
}

variable "requests_per_minute" {
  description = "Requests to a task beyond which another one begins, 1 to 100000."
  type        = number
  default     = 600
}

variable "environment" {
  description = "Settings of the service; no secret."
  type        = map(string)

  validation {
    condition     = !anytrue([for name in keys(var.environment) : can(regex("(PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING)$", name))])
    error_message = "environment holds ${join(", ", [for name in keys(var.environment) : name if can(regex("(PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING)$", name))])}; name it in the service's secrets, so that its value is in no state."
  }
}

variable "secret_arns" {
  description = "Its secrets, by environment variable."
  type        = map(string)

  validation {
    condition     = contains(keys(var.secret_arns), "LOOPLINE_SERVICE__KEY_HASHES") || lookup(var.environment, "LOOPLINE_SERVICE__OPEN", "false") == "true"
    error_message = "secrets of the service are ${join(", ", keys(var.secret_arns))}; LOOPLINE_SERVICE__KEY_HASHES is wanted, without which nobody may ask it."
  }

  validation {
    condition     = contains(keys(var.secret_arns), "LOOPLINE_SERVICE__SIGNING_SECRET") || lookup(var.environment, "LOOPLINE_SERVICE__CAPTURE", "false") != "true"
    error_message = "secrets of the service are ${join(", ", keys(var.secret_arns))}; LOOPLINE_SERVICE__SIGNING_SECRET is wanted with captures: tasks with different ones know nothing of each other's predictions."
  }
}
