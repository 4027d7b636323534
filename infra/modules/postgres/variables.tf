variable "name" {
  description = "Name of everything of it."
  type        = string
}

variable "place" {
  description = "Where it is: the network, in at least two zones as RDS wants; the key of everything at rest; whether destroying deletes it at once, without a last snapshot."
  type        = object({ vpc_id = string, private_subnet_ids = list(string), key_arn = string, disposable = bool })
}

variable "client_group_id" {
  description = "Group of the containers that may ask it."
  type        = string
}

variable "database" {
  description = "Name of the database in it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database))
    error_message = "database is \"${var.database}\"; lower-case letters, digits and _ are allowed, beginning with a letter."
  }
}

variable "release" {
  description = "Of PostgreSQL, 15 to 17."
  type        = number
  default     = 17

  validation {
    condition     = contains([15, 16, 17], var.release)
    error_message = "release is ${var.release}; 15 to 17 are allowed."
  }
}

variable "machine" {
  description = "RDS's machine, such as db.t4g.small."
  type        = string
  default     = "db.t4g.small"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.machine))
    error_message = "machine is \"${var.machine}\"; one of RDS's such as db.t4g.small is wanted."
  }
}

variable "most_gb" {
  description = "To which its disk of 20 GB may grow by itself, 22 to 1000."
  type        = number
  default     = 100

  validation {
    condition     = var.most_gb >= 22 && var.most_gb <= 1000
    error_message = "most_gb is ${var.most_gb}; 22 to 1000 are allowed."
  }
}

variable "is_doubled" {
  description = "Whether a second machine in another zone takes over when the first fails, for twice the price."
  type        = bool
  default     = false
}

variable "backup_days" {
  description = "Days whose every minute can be restored, 1 to 35."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days is ${var.backup_days}; 1 to 35 are allowed."
  }
}

variable "log_days" {
  description = "Days that logs are kept; one of CloudWatch's own steps."
  type        = number
  default     = 365
}
