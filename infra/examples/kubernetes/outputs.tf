output "work_pools" {
  description = "The work pools as Prefect wants them; `loopline deploy --pools FILE` takes this as JSON."
  value       = concat([module.cpu_pool.work_pool], module.gpu_pool[*].work_pool)
}
