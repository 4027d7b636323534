variable "name" {
  description = "Begins every name."
  type        = string
}

variable "key_arn" {
  description = "KMS key of everything at rest."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket, unique among all of AWS."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket is \"${var.bucket}\"; 3 to 63 lower-case letters, digits and hyphens are allowed, no dots."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes what the bucket holds. Leave it false where data is worth anything."
  type        = bool
  default     = false
}

variable "capture_days" {
  description = "Days that captured traffic is kept, 1 to 365; at least LOOPLINE_SERVICE__CAPTURE_DAYS."
  type        = number
  default     = 90

  validation {
    condition     = var.capture_days >= 1 && var.capture_days <= 365
    error_message = "capture_days is ${var.capture_days}; 1 to 365 are allowed."
  }
}

variable "noncurrent_days" {
  description = "Days after which what was overwritten or deleted is gone for good, 1 to 365."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days <= 365
    error_message = "noncurrent_days is ${var.noncurrent_days}; 1 to 365 are allowed."
  }
}
