output "ids" {
  description = "Of the pools, by name."
  value       = { for name, pool in prefect_work_pool.this : name => pool.id }
}
