# A container that answers over HTTPS: tasks on Fargate in private subnets behind a load balancer, which alone reaches
# them. Of service, server and label_studio.

data "aws_region" "this" {}

locals {
  # A secret's ARN, without the key of its JSON that may follow.
  secret_arns = distinct([for from in values(var.secrets) : join(":", slice(split(":", from), 0, 7))])
}

# Who may reach the balancer, and what it reaches.
resource "aws_security_group" "balancer" {
  name        = "${var.name}-balancer"
  description = "Load balancer of ${var.name}."
  vpc_id      = var.place.vpc_id
  tags        = { Name = "${var.name}-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  for_each = { for pair in setproduct(var.door.callers, [80, 443]) : "${pair[0]}:${pair[1]}" => { from = pair[0], port = pair[1] } }

  security_group_id = aws_security_group.balancer.id
  description       = each.value.port == 80 ? "To be sent on to HTTPS" : "HTTPS"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.from
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "Its containers"
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
  referenced_security_group_id = aws_security_group.tasks.id
}

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "Containers of ${var.name}: the balancer alone asks them."
  vpc_id      = var.place.vpc_id
  tags        = { Name = "${var.name}-tasks" }
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  security_group_id            = aws_security_group.tasks.id
  description                  = "The balancer"
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
  referenced_security_group_id = aws_security_group.balancer.id
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  security_group_id = aws_security_group.tasks.id
  description       = "Images, secrets, logs, S3, the database"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_lb" "this" {
  name                       = var.name
  load_balancer_type         = "application"
  internal                   = var.door.internal
  subnets                    = var.door.internal ? var.place.private_subnet_ids : var.place.public_subnet_ids
  security_groups            = [aws_security_group.balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = !var.place.disposable
  idle_timeout               = 50 # seconds, less than containers keep a connection: else the balancer asks on a dead one
}

resource "aws_lb_target_group" "this" {
  name                 = var.name
  vpc_id               = var.place.vpc_id
  target_type          = "ip"
  protocol             = "HTTP" # TLS ends at the balancer
  port                 = var.port
  deregistration_delay = 30

  health_check {
    path                = var.health_path
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTPS"
  port              = 443
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06" # TLS 1.3, and 1.2 with forward secrecy
  certificate_arn   = var.door.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTP"
  port              = 80

  default_action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# What ECS does for a container before it starts. Its own role: no other container's secrets are read with it.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${var.place.log_group.arn}:*"]
  }

  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = local.secret_arns
  }

  statement {
    sid       = "Decrypt"
    actions   = ["kms:Decrypt"]
    resources = [var.place.key_arn]
  }

  dynamic "statement" {
    for_each = length(var.image_arns) > 0 ? { SignIn = ["*"], Images = var.image_arns } : {} # who signs in names no image

    content {
      sid       = statement.key
      actions   = statement.key == "SignIn" ? ["ecr:GetAuthorizationToken"] : ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-containers"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "disk" {
  count = var.disk == null ? 0 : 1

  statement {
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [var.disk.arn]

    condition {
      test     = "StringEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values   = [var.disk.access_point_arn]
    }
  }
}

resource "aws_iam_role_policy" "disk" {
  count = var.disk == null ? 0 : 1

  name   = "disk"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.disk[0].json
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mb
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  # What is not said is left out: null would be told back as another value.
  container_definitions = jsonencode([{
    for key, value in {
      name                   = "web"
      image                  = var.image
      essential              = true
      command                = var.command
      user                   = var.user
      readonlyRootFilesystem = var.is_read_only
      stopTimeout            = 60
      portMappings           = [{ containerPort = var.port, protocol = "tcp" }]
      environment            = [for name, value in var.environment : { name = name, value = value }]
      secrets                = [for name, from in var.secrets : { name = name, valueFrom = from }]
      healthCheck            = var.health_command == null ? null : { command = var.health_command, interval = 30, timeout = 10, retries = 3, startPeriod = 300 }
      linuxParameters        = { tmpfs = [{ containerPath = "/tmp", size = var.tmp_mb }] }
      mountPoints            = var.disk == null ? null : [{ sourceVolume = "disk", containerPath = var.disk.path }]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = var.place.log_group.name
          awslogs-region        = data.aws_region.this.name
          awslogs-stream-prefix = var.name
        }
      }
    } : key => value if value != null
  }])

  dynamic "volume" {
    for_each = var.disk[*]

    content {
      name = "disk"

      efs_volume_configuration {
        file_system_id     = volume.value.file_system_id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = volume.value.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = var.place.cluster.arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.least
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE" # the budget counts by tag
  health_check_grace_period_seconds  = var.start_seconds
  deployment_minimum_healthy_percent = var.is_alone ? 0 : 100
  deployment_maximum_percent         = var.is_alone ? 100 : 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "web"
    container_port   = var.port
  }

  network_configuration {
    subnets          = var.place.private_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [desired_count] # the scaling decides
  }

  # ECS takes a target group only once a listener has it, and gives tasks up that can't start.
  depends_on = [aws_lb_listener.https, aws_iam_role_policy.execution, aws_iam_role_policy.disk]
}

resource "aws_appautoscaling_target" "this" {
  count = var.most > var.least ? 1 : 0

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.place.cluster.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.least
  max_capacity       = var.most
}

resource "aws_appautoscaling_policy" "cpu" {
  count = length(aws_appautoscaling_target.this)

  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.cpu_percent
    scale_in_cooldown  = 300
    scale_out_cooldown = 60

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_appautoscaling_policy" "requests" {
  count = length(aws_appautoscaling_target.this)

  name               = "${var.name}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.requests_per_minute
    scale_in_cooldown  = 300
    scale_out_cooldown = 60

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.this.arn_suffix}/${aws_lb_target_group.this.arn_suffix}"
    }
  }
}
