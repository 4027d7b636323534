output "stop_policy_arn" {
  description = "Policy that is attached to the workers' role when the money is spent."
  value       = aws_iam_policy.stop.arn
}
