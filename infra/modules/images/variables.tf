variable "name" {
  description = "Begins every name."
  type        = string
}

variable "key_arn" {
  description = "KMS key of everything at rest."
  type        = string
}

variable "names" {
  description = "The images: cpu and gpu run flows, service answers."
  type        = set(string)
  default     = ["cpu", "gpu", "service"]
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes images."
  type        = bool
  default     = false
}
