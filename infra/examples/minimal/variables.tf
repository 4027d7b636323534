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
