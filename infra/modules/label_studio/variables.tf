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

variable "release" {
  description = "Tag of heartexlabs/label-studio: that of the laptop, which is the one tried."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+[.][0-9]+[.][0-9]+", var.release))
    error_message = "release is \"${var.release}\"; a release of heartexlabs/label-studio such as 1.23.2 is wanted."
  }
}

variable "url" {
  description = "Where people find it, such as https://labels.example.com."
  type        = string

  validation {
    condition     = can(regex("^https://[^/]+$", var.url))
    error_message = "url is \"${var.url}\"; an address such as https://labels.example.com is wanted, without a path."
  }
}

variable "user" {
  description = "Mail address by which its first user signs in."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.user))
    error_message = "user is \"${var.user}\", which is no address."
  }
}

variable "secret_arns" {
  description = "LABEL_STUDIO_PASSWORD, of its first user, and SECRET_KEY, by which it signs what people sign in with."
  type        = object({ LABEL_STUDIO_PASSWORD = string, SECRET_KEY = string })
}

variable "bucket_arn" {
  description = "The store's bucket."
  type        = string
}

variable "pictures_arn" {
  description = "What it shows of the bucket."
  type        = string
}

variable "cpu" {
  description = "Of its task, 1024 a core."
  type        = number
  default     = 1024
}

variable "memory_mb" {
  description = "Of its task, 2048 to 122880."
  type        = number
  default     = 4096

  validation {
    condition     = var.memory_mb >= 2048 && var.memory_mb <= 122880
    error_message = "memory_mb is ${var.memory_mb}; 2048 to 122880 are allowed."
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
