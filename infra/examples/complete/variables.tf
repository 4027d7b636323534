variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "bucket" {
  description = "Name of the store's bucket, unique among all of AWS."
  type        = string
}

variable "prefect_api_url" {
  description = "Prefect's API."
  type        = string
}

variable "registry_url" {
  description = "The git repository of dataset and model versions."
  type        = string
}

variable "release" {
  description = "Tag of the images."
  type        = string
}

variable "certificate_arn" {
  description = "Certificate of the names of the service, the Prefect server and Label Studio, in ACM."
  type        = string
}

variable "service_release" {
  description = "Tag of the service's image."
  type        = string
}

variable "label_studio_url" {
  description = "Where people find Label Studio."
  type        = string
}

variable "label_studio_user" {
  description = "Mail address of Label Studio's first user."
  type        = string
}

variable "name" {
  description = "Begins every name."
  type        = string
  default     = "loopline"
}

variable "most_machines" {
  description = "GPU machines at once: your quota."
  type        = number
  default     = 2
}

variable "budget" {
  description = "What a month may cost, and who is told; null: no bound."
  type        = object({ monthly_usd = number, email = string })
  default     = null
}

variable "disposable" {
  description = "Whether destroying deletes data, images and secrets at once."
  type        = bool
  default     = false
}
