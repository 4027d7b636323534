variable "name" {
  description = "Begins every name."
  type        = string
}

variable "deletion_days" {
  description = "Days between destroying the key and its end, 7 to 30. Until then it can be taken back."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_days >= 7 && var.deletion_days <= 30
    error_message = "deletion_days is ${var.deletion_days}; AWS allows 7 to 30."
  }
}
