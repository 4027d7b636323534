variable "work_pools" {
  description = "Pools as gpu_pool, cpu_pool and kubernetes_pool describe them."
  type = list(object({
    name              = string
    type              = string
    base_job_template = string
    concurrency_limit = number
  }))

  validation {
    condition     = length(var.work_pools) == length(distinct([for pool in var.work_pools : pool.name]))
    error_message = "work_pools names ${join(", ", [for pool in var.work_pools : pool.name])}; each name may be there once."
  }
}
