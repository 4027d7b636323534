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
  description = "Image that has Prefect, with its tag: that of runs, so that the server is never older than its clients."
  type        = string
}

variable "image_arns" {
  description = "Repositories whose images may be fetched."
  type        = list(string)
}

variable "url" {
  description = "Where clients and browsers find it, such as https://prefect.example.com/api."
  type        = string

  validation {
    condition     = can(regex("^https://[^/]+/api$", var.url))
    error_message = "url is \"${var.url}\"; an address such as https://prefect.example.com/api is wanted: what signs in goes by TLS alone."
  }
}

variable "auth_string_arn" {
  description = "Secret that holds user:password, with which workers, runs and people sign in."
  type        = string
}

variable "cpu" {
  description = "Of its task, 1024 a core."
  type        = number
  default     = 1024
}

variable "memory_mb" {
  description = "Of its task, 1024 to 122880."
  type        = number
  default     = 2048

  validation {
    condition     = var.memory_mb >= 1024 && var.memory_mb <= 122880
    error_message = "memory_mb is ${var.memory_mb}; 1024 to 122880 are allowed."
  }
}

variable "machine" {
  description = "RDS's machine, such as db.t4g.small."
  type        = string
  default     = "db.t4g.small"
}

variable "is_doubled" {
  description = "Whether a second database in another zone takes over when the first fails, for twice the price."
  type        = bool
  default     = false
}
