variable "namespace" {
  description = "Where workers and runs are."
  type        = string
  default     = "loopline"
}

variable "image" {
  description = "Of a run, with the tag of one build."
  type        = string
}

variable "bucket" {
  description = "The store's bucket."
  type        = string
}

variable "region" {
  description = "The bucket's region."
  type        = string
  default     = "eu-central-1"
}

variable "registry_url" {
  description = "The git repository of dataset and model versions, without credentials."
  type        = string
}

variable "prefect_api_url" {
  description = "Prefect's API, such as https://prefect.example.com/api."
  type        = string
}

variable "gpu_quota" {
  description = "GPUs at once; 0: no pool for them."
  type        = number
  default     = 0
}

variable "gpu_nodes" {
  description = "Labels of the machines with GPUs. Those that start from zero must have them from the beginning."
  type        = map(string)
  default     = {}
}
