# A Prefect worker per pool, as services that come back when they end: it takes runs from Prefect and asks ECS for them.
# Before it begins, it brings the pools and the deployments of its own image to the Prefect server. What became of a run's
# container reaches it through a queue.

data "aws_region" "this" {}
data "aws_partition" "this" {}
data "aws_caller_identity" "this" {}

locals {
  account = data.aws_caller_identity.this.account_id
  region  = data.aws_region.this.name
  ecs     = "arn:${data.aws_partition.this.partition}:ecs:${local.region}:${local.account}"

  # Shared by what runs beside each other in a task.
  container = {
    image     = var.image
    essential = true
    environment = [
      for name, value in merge(var.environment, { PREFECT_INTEGRATIONS_AWS_ECS_OBSERVER_SQS_QUEUE_NAME = aws_sqs_queue.events.name }) :
      { name = name, value = value }
    ]
    secrets = [for name, arn in var.secret_arns : { name = name, valueFrom = arn }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "worker"
      }
    }
  }
}

resource "aws_sqs_queue" "dead" {
  name                      = "${var.name}-events-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "events" {
  name                       = "${var.name}-events"
  message_retention_seconds  = 86400
  visibility_timeout_seconds = 60
  sqs_managed_sse_enabled    = true
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 5 })
}

resource "aws_cloudwatch_event_rule" "tasks" {
  name        = "${var.name}-tasks"
  description = "What becomes of the containers of ${var.name}."
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail      = { clusterArn = [var.cluster_arn] }
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule = aws_cloudwatch_event_rule.tasks.name
  arn  = aws_sqs_queue.events.arn
}

data "aws_iam_policy_document" "queue" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.events.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.tasks.arn]
    }
  }
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.id
  policy    = data.aws_iam_policy_document.queue.json
}

# Whatever a budget says here means that the money is spent; the workers' task hears of it and pauses the pools.
resource "aws_sns_topic" "spent" {
  name = "${var.name}-spent"
}

data "aws_iam_policy_document" "spent" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.spent.arn]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_sns_topic_policy" "spent" {
  arn    = aws_sns_topic.spent.arn
  policy = data.aws_iam_policy_document.spent.json
}

resource "aws_sqs_queue" "spent" {
  name                       = "${var.name}-spent"
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 60
  sqs_managed_sse_enabled    = true
}

data "aws_iam_policy_document" "spent_queue" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.spent.arn]

    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_sns_topic.spent.arn]
    }
  }
}

resource "aws_sqs_queue_policy" "spent" {
  queue_url = aws_sqs_queue.spent.id
  policy    = data.aws_iam_policy_document.spent_queue.json
}

resource "aws_sns_topic_subscription" "spent" {
  topic_arn = aws_sns_topic.spent.arn
  protocol  = "sqs"
  endpoint  = aws_sqs_queue.spent.arn
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

resource "aws_iam_role" "worker" {
  name               = "${var.name}-worker"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "Definitions"
    actions   = ["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"]
    resources = ["*"] # these actions know no resource
  }

  statement {
    sid       = "Runs"
    actions   = ["ecs:RunTask", "ecs:StopTask", "ecs:DescribeTasks", "ecs:TagResource"]
    resources = ["${local.ecs}:task-definition/*", "${local.ecs}:task/${var.cluster_name}/*", "${local.ecs}:cluster/${var.cluster_name}"]

    condition {
      test     = "ArnEqualsIfExists"
      variable = "ecs:cluster"
      values   = [var.cluster_arn]
    }
  }

  statement {
    sid       = "Roles"
    actions   = ["iam:PassRole"]
    resources = [var.execution_role_arn, var.run_role_arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  statement {
    sid       = "Places"
    actions   = ["ec2:DescribeVpcs", "ec2:DescribeSubnets"]
    resources = ["*"] # these actions know no resource
  }

  statement {
    sid       = "Events"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.events.arn, aws_sqs_queue.spent.arn]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:GetLogEvents"]
    resources = ["${var.log_group.arn}:*"]
  }
}

resource "aws_iam_role_policy" "worker" {
  name   = "ask-for-runs"
  role   = aws_iam_role.worker.id
  policy = data.aws_iam_policy_document.worker.json
}

resource "aws_iam_role_policy_attachment" "store" {
  role       = aws_iam_role.worker.name
  policy_arn = var.store_policy_arn
}

resource "aws_ecs_task_definition" "worker" {
  for_each = var.pools

  family                   = "${each.key}-worker"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = aws_iam_role.worker.arn

  container_definitions = jsonencode([
    merge(local.container, {
      name        = "worker"
      command     = ["sh", "-c", "loopline deploy --pools ${var.pools_url} && exec prefect worker start --pool ${each.key} --type ecs --no-create-pool-if-not-found --install-policy never"]
      stopTimeout = 60
    }),
    merge(local.container, {
      name    = "spending"
      command = concat(["python", "-m", "tasks.spending", aws_sqs_queue.spent.name], sort(var.pools))
    }),
  ])
}

resource "aws_ecs_service" "worker" {
  for_each = aws_ecs_task_definition.worker

  name            = each.value.family
  cluster         = var.cluster_arn
  task_definition = each.value.arn
  desired_count   = 1
  launch_type     = "FARGATE"
  propagate_tags  = "SERVICE" # of the provider, which a budget goes by

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }
}
