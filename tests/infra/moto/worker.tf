# moto tells JSON with other spaces, and not all of a service.
resource "aws_sqs_queue" "events" {
  lifecycle {
    ignore_changes = [redrive_policy]
  }
}

resource "aws_ecs_service" "worker" {
  lifecycle {
    ignore_changes = [availability_zone_rebalancing]
  }
}
