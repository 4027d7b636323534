output "arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "execution_role_arn" {
  description = "Role with which ECS starts containers."
  value       = aws_iam_role.execution.arn
}

output "run_role_arn" {
  description = "Role of a run."
  value       = aws_iam_role.run.arn
}

output "log_group" {
  description = "Where runs and workers write."
  value       = { name = aws_cloudwatch_log_group.runs.name, arn = aws_cloudwatch_log_group.runs.arn }
}
