output "work_pools" {
  description = "The work pools as Prefect wants them; `loopline deploy --pools FILE` takes this as JSON."
  value       = local.pools
}

output "bucket" {
  description = "The store."
  value       = module.storage.bucket
}

output "images" {
  description = "Where each image is pushed to."
  value       = module.images.urls
}

output "secrets" {
  description = "The secrets whose values you put in."
  value       = module.secrets.arns
}

output "uploader_policy_arn" {
  description = "Policy for people who bring images."
  value       = module.storage.uploader_policy_arn
}

output "queue" {
  description = "Where workers hear what became of containers."
  value       = module.worker.queue
}

output "cluster_arn" {
  description = "The ECS cluster."
  value       = module.cluster.arn
}
