output "queue" {
  description = "Name of the queue of what becomes of containers."
  value       = aws_sqs_queue.events.name
}

output "role" {
  description = "Role of the workers."
  value       = { name = aws_iam_role.worker.name, arn = aws_iam_role.worker.arn }
}

output "spent_topic_arn" {
  description = "Topic that pauses the pools, whatever it is told."
  value       = aws_sns_topic.spent.arn
}
