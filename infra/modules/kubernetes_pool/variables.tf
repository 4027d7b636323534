variable "name" {
  description = "Of the work pool."
  type        = string
}

variable "namespace" {
  description = "Where runs are started: that of the worker, which has no rights elsewhere."
  type        = string
  default     = "loopline"
}

variable "image" {
  description = "Of a run, with the tag of one build or its digest."
  type        = string

  validation {
    condition     = can(regex("(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image is \"${var.image}\"; name the tag of one build, or its digest, so that what ran can be run again."
  }
}

variable "service_account" {
  description = "Of a run. It gets no token of Kubernetes; a cloud's roles may hang on it."
  type        = string
  default     = "loopline-run"
}

variable "environment" {
  description = "Settings of a run; no secret."
  type        = map(string)

  validation {
    condition     = !anytrue([for name in keys(var.environment) : can(regex("(PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING)$", name))])
    error_message = "environment holds ${join(", ", [for name in keys(var.environment) : name if can(regex("(PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING)$", name))])}; put it into the Secret that secret_name names, so that its value is in no state."
  }
}

variable "secret_name" {
  description = "The Secret whose every key is an environment variable of a run; null: none."
  type        = string
  default     = "loopline"
}

variable "most_runs" {
  description = "Runs at once, 1 to 100. Of GPUs: your quota; where a run takes several, divided by them."
  type        = number

  validation {
    condition     = var.most_runs >= 1 && var.most_runs <= 100
    error_message = "most_runs is ${var.most_runs}; 1 to 100 are allowed. With a GPU quota of 0, ask for one first, and leave the pool out."
  }
}

variable "gpu_count" {
  description = "GPUs of one run: 0, 1, 2, 4 or 8. Of a pool with 0, no run can ask for any."
  type        = number
  default     = 0

  validation {
    condition     = contains([0, 1, 2, 4, 8], var.gpu_count)
    error_message = "gpu_count is ${var.gpu_count}; 0, 1, 2, 4 or 8 are allowed."
  }
}

variable "node_selector" {
  description = "Labels of the machines that will do."
  type        = map(string)
  default     = {}
}

variable "tolerations" {
  description = "Taints of machines that a run may stand on; GPU machines mostly have nvidia.com/gpu."
  type = list(object({
    key      = string
    operator = optional(string, "Exists")
    value    = optional(string)
    effect   = optional(string, "NoSchedule")
  }))
  default = []

  validation {
    condition     = alltrue([for one in var.tolerations : (one.operator == "Equal") == (one.value != null)])
    error_message = "tolerations: an operator Equal wants a value, and Exists none."
  }
}

variable "cpu" {
  description = "Cores that one run asks for, as Kubernetes writes them; it may take more where they are idle."
  type        = string
  default     = "2"
}

variable "memory" {
  description = "Of one run, as Kubernetes writes it; a little less than the smallest machine has."
  type        = string
  default     = "8Gi"
}

variable "disk_gb" {
  description = "Most that a run may write, 1 to 16384: a training set, its checkpoints."
  type        = number
  default     = 50

  validation {
    condition     = var.disk_gb >= 1 && var.disk_gb <= 16384
    error_message = "disk_gb is ${var.disk_gb}; 1 to 16384 are allowed."
  }
}

variable "pod_watch_timeout_seconds" {
  description = "How long a run may wait for its machine, 60 to 7200: one that starts from zero and pulls its image takes minutes."
  type        = number
  default     = 1200

  validation {
    condition     = var.pod_watch_timeout_seconds >= 60 && var.pod_watch_timeout_seconds <= 7200
    error_message = "pod_watch_timeout_seconds is ${var.pod_watch_timeout_seconds}; 60 to 7200 are allowed."
  }
}

variable "finished_job_ttl_seconds" {
  description = "How long a job that ended can be looked at, 60 to 604800; its logs are in Prefect by then."
  type        = number
  default     = 3600

  validation {
    condition     = var.finished_job_ttl_seconds >= 60 && var.finished_job_ttl_seconds <= 604800
    error_message = "finished_job_ttl_seconds is ${var.finished_job_ttl_seconds}; 60 to 604800 are allowed."
  }
}

variable "backoff_limit" {
  description = "How often Kubernetes starts a pod again, 0 to 10; at 0, Prefect schedules a run again whose machine was taken away."
  type        = number
  default     = 0

  validation {
    condition     = var.backoff_limit >= 0 && var.backoff_limit <= 10
    error_message = "backoff_limit is ${var.backoff_limit}; 0 to 10 are allowed."
  }
}
