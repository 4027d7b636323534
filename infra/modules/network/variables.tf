variable "name" {
  description = "Begins every name."
  type        = string
}

variable "key_arn" {
  description = "KMS key of everything at rest."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, a /16."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "cidr is \"${var.cidr}\"; a /16 such as 10.42.0.0/16 is wanted."
  }
}

variable "zone_count" {
  description = "Availability zones, 1 to 4: more of them find GPU machines sooner."
  type        = number
  default     = 2

  validation {
    condition     = var.zone_count >= 1 && var.zone_count <= 4
    error_message = "zone_count is ${var.zone_count}; 1 to 4 are allowed."
  }
}

variable "log_days" {
  description = "Days that logs are kept; one of CloudWatch's own steps."
  type        = number
  default     = 365
}
