# moto tells not all of a service, and no description of a rule that names another group.
resource "aws_ecs_service" "this" {
  lifecycle {
    ignore_changes = [desired_count, availability_zone_rebalancing, health_check_grace_period_seconds]
  }
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  lifecycle {
    ignore_changes = [description]
  }
}
