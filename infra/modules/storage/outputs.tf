output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket

  depends_on = [aws_s3_bucket_policy.this]
}

output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "flows_policy_arn" {
  description = "Policy of what runs."
  value       = aws_iam_policy.flows.arn
}

output "uploader_policy_arn" {
  description = "Policy of who brings images."
  value       = aws_iam_policy.uploader.arn
}
