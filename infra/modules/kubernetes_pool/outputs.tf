output "work_pool" {
  description = "The work pool as Prefect wants it."
  value = {
    name              = var.name
    type              = "kubernetes"
    concurrency_limit = var.most_runs
    base_job_template = jsonencode(local.template)
  }
}
