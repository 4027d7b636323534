output "arns" {
  description = "ARN of each secret, by the environment variable that carries it."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "read_policy_arn" {
  description = "Policy of what hands them to containers."
  value       = aws_iam_policy.read.arn
}
