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
  value       = merge(concat([module.secrets], module.service_secrets, module.label_studio_secrets)[*].arns...)
}

output "balancers" {
  description = "Load balancers of the service, the Prefect server and Label Studio: have your names lead to them."
  value = {
    for name, found in { service = module.service, server = module.server, label_studio = module.label_studio } :
    name => one(found[*].balancer) if length(found) > 0
  }
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
