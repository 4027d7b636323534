output "balancer" {
  description = "Address of the load balancer, for a CNAME or an alias of your name, and its ARN."
  value       = { address = aws_lb.this.dns_name, zone_id = aws_lb.this.zone_id, arn = aws_lb.this.arn }
}

output "security_group_id" {
  description = "Group of the containers."
  value       = aws_security_group.tasks.id
}

output "role" {
  description = "Role of the containers."
  value       = { name = aws_iam_role.task.name, arn = aws_iam_role.task.arn }
}
