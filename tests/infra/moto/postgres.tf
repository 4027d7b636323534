# moto tells no parameters, and no description of a rule that names another group.
resource "aws_db_parameter_group" "this" {
  lifecycle {
    ignore_changes = [parameter]
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  lifecycle {
    ignore_changes = [description]
  }
}
