# Files that outlive a container: a file system that one kind of containers reaches, as one user, by TLS.

resource "aws_security_group" "this" {
  name        = "${var.name}-disk"
  description = "File system of ${var.name}: its containers alone ask it, and it asks nobody."
  vpc_id      = var.place.vpc_id
  tags        = { Name = "${var.name}-disk" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "Its containers"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  referenced_security_group_id = var.client_group_id
}

resource "aws_efs_file_system" "this" {
  creation_token = var.name
  encrypted      = true
  kms_key_id     = var.place.key_arn
  tags           = { Name = var.name }
}

resource "aws_efs_mount_target" "this" {
  count = length(var.place.private_subnet_ids)

  file_system_id  = aws_efs_file_system.this.id
  subnet_id       = var.place.private_subnet_ids[count.index]
  security_groups = [aws_security_group.this.id]
}

resource "aws_efs_access_point" "this" {
  file_system_id = aws_efs_file_system.this.id
  tags           = { Name = var.name }

  posix_user {
    uid = var.user_id
    gid = var.user_id
  }

  root_directory {
    path = "/data"

    creation_info {
      owner_uid   = var.user_id
      owner_gid   = var.user_id
      permissions = "0700"
    }
  }
}
