output "address" {
  description = "Host name of the database."
  value       = aws_db_instance.this.address
}

output "database" {
  description = "Name of the database in it."
  value       = aws_db_instance.this.db_name
}

output "user" {
  description = "Who signs in."
  value       = aws_db_instance.this.username
}

output "password_from" {
  description = "Where ECS finds the password: in the secret of RDS, not here."
  value       = "${aws_db_instance.this.master_user_secret[0].secret_arn}:password::"
}
