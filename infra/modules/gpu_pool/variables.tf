variable "name" {
  description = "Begins every name."
  type        = string
}

variable "cluster_name" {
  description = "ECS cluster that the machines join."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "security_group_id" {
  description = "Group of the machines."
  type        = string
}

variable "instance_types" {
  description = "Machines with GPUs that will do, the best first; more types find spot machines sooner."
  type        = list(string)
  default     = ["g5.xlarge", "g6.xlarge", "g4dn.xlarge"]

  validation {
    condition     = length(var.instance_types) > 0 && alltrue([for type in var.instance_types : can(regex("^(g|p)[0-9][a-z]*\\.", type))])
    error_message = "instance_types holds ${join(", ", var.instance_types)}; name at least one type with NVIDIA GPUs, such as g5.xlarge."
  }
}

variable "most_machines" {
  description = "Machines of each price at once, 1 to 100, and runs that the pool starts at once: your GPU quota."
  type        = number

  validation {
    condition     = var.most_machines >= 1 && var.most_machines <= 100
    error_message = "most_machines is ${var.most_machines}; 1 to 100 are allowed. With a GPU quota of 0, ask AWS for one first, and leave the pool out."
  }
}

variable "price" {
  description = "What a run pays unless it says otherwise: spot or on-demand."
  type        = string
  default     = "spot"

  validation {
    condition     = contains(["spot", "on-demand"], var.price)
    error_message = "price is \"${var.price}\"; spot or on-demand are allowed."
  }
}

variable "gpu_count" {
  description = "GPUs of one run: 1, 2, 4 or 8."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 4, 8], var.gpu_count)
    error_message = "gpu_count is ${var.gpu_count}; 1, 2, 4 or 8 are allowed."
  }
}

variable "cpu" {
  description = "Of one run, 1024 a core; a little less than the smallest machine has."
  type        = number
  default     = 3584
}

variable "memory_mb" {
  description = "Of one run; a little less than the smallest machine has."
  type        = number
  default     = 14336
}

variable "disk_gb" {
  description = "Disk of a machine, 50 to 16384: the image, a training set, its checkpoints."
  type        = number
  default     = 100

  validation {
    condition     = var.disk_gb >= 50 && var.disk_gb <= 16384
    error_message = "disk_gb is ${var.disk_gb}; 50 to 16384 are allowed."
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
