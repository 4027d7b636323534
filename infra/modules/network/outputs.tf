output "vpc_id" {
  description = "Id of the network."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Where workers and runs are."
  value       = [for subnet in aws_subnet.private : subnet.id]

  depends_on = [aws_route_table_association.private]
}

output "public_subnet_ids" {
  description = "Where load balancers are."
  value       = [for subnet in aws_subnet.public : subnet.id]

  depends_on = [aws_route_table_association.public]
}

output "security_group_id" {
  description = "The group of workers and runs."
  value       = aws_security_group.runs.id
}
