# A PostgreSQL database that one kind of containers reaches, by TLS. RDS makes its password, keeps it in Secrets Manager
# and changes it every week, so that no state, plan or log holds it.

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "Database of ${var.name}: its containers alone ask it, and it asks nobody."
  vpc_id      = var.place.vpc_id
  tags        = { Name = "${var.name}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "Its containers"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = var.client_group_id
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Where the database of ${var.name} is."
  subnet_ids  = var.place.private_subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-${var.release}"
  description = "Settings of the database of ${var.name}."
  family      = "postgres${var.release}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true # the database holds the old one until it has the new one
  }
}

# RDS would make it itself, without a key and without an end.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/rds/instance/${var.name}/postgresql"
  retention_in_days = var.log_days
  kms_key_id        = var.place.key_arn
}

resource "aws_db_instance" "this" {
  identifier                      = var.name
  engine                          = "postgres"
  engine_version                  = var.release
  instance_class                  = var.machine
  db_name                         = var.database
  username                        = "loopline"
  manage_master_user_password     = true
  master_user_secret_kms_key_id   = var.place.key_arn
  storage_type                    = "gp3"
  allocated_storage               = 20
  max_allocated_storage           = var.most_gb
  storage_encrypted               = true
  kms_key_id                      = var.place.key_arn
  multi_az                        = var.is_doubled
  publicly_accessible             = false
  db_subnet_group_name            = aws_db_subnet_group.this.name
  parameter_group_name            = aws_db_parameter_group.this.name
  vpc_security_group_ids          = [aws_security_group.this.id]
  backup_retention_period         = var.backup_days
  copy_tags_to_snapshot           = true
  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = ["postgresql"]
  deletion_protection             = !var.place.disposable
  delete_automated_backups        = var.place.disposable
  skip_final_snapshot             = var.place.disposable
  final_snapshot_identifier       = var.place.disposable ? null : "${var.name}-last"

  depends_on = [aws_cloudwatch_log_group.this]
}
