# moto tells no description of a rule that names another group.
resource "aws_vpc_security_group_ingress_rule" "this" {
  lifecycle {
    ignore_changes = [description]
  }
}
