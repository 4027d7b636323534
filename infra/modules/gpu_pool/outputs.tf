output "work_pool" {
  description = "The work pool as Prefect wants it."
  value = {
    name              = "${var.name}-gpu"
    type              = "ecs"
    concurrency_limit = var.most_machines
    base_job_template = jsonencode(local.template)
  }

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}
