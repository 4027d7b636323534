variable "name" {
  description = "Begins every name."
  type        = string
}

variable "most_runs" {
  description = "Runs at once, 1 to 100."
  type        = number
  default     = 4

  validation {
    condition     = var.most_runs >= 1 && var.most_runs <= 100
    error_message = "most_runs is ${var.most_runs}; 1 to 100 are allowed."
  }
}

variable "cpu" {
  description = "Of one run, 1024 a core: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  type        = number
  default     = 2048

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu is ${var.cpu}; Fargate has 256, 512, 1024, 2048, 4096, 8192 and 16384."
  }
}

variable "memory_mb" {
  description = "Of one run, 512 to 122880; Fargate has steps for each cpu."
  type        = number
  default     = 8192

  validation {
    condition     = var.memory_mb >= 512 && var.memory_mb <= 122880
    error_message = "memory_mb is ${var.memory_mb}; 512 to 122880 are allowed."
  }
}

variable "disk_gb" {
  description = "Disk of one run, 21 to 200."
  type        = number
  default     = 50

  validation {
    condition     = var.disk_gb >= 21 && var.disk_gb <= 200
    error_message = "disk_gb is ${var.disk_gb}; 21 to 200 are allowed."
  }
}

variable "job" {
  description = "Defaults of the ECS worker's variables, such as image, cluster and roles."
  type        = any
}

variable "secret_arns" {
  description = "Secrets of a run, by environment variable."
  type        = map(string)
}
