# The ECS cluster of workers and runs, and what they write.

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "runs" {
  name              = "/${var.name}/runs"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# What ECS does for a container before it starts: fetch the image, read the secrets, open the log.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "SignIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the action knows no resource
  }

  statement {
    sid       = "Images"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = var.image_arns
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.runs.arn}:*"]
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-containers"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role_policy_attachment" "secrets" {
  role       = aws_iam_role.execution.name
  policy_arn = var.secrets_policy_arn
}

# What a run may do itself: the store, and to look whether images and secrets are there.
resource "aws_iam_role" "run" {
  name               = "${var.name}-run"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "store" {
  role       = aws_iam_role.run.name
  policy_arn = var.store_policy_arn
}

# build-model says at once what ECS would say after minutes: that an image is not there, or a secret has no value.
data "aws_iam_policy_document" "look" {
  statement {
    sid       = "Images"
    actions   = ["ecr:DescribeImages"]
    resources = var.image_arns
  }

  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:DescribeSecret"]
    resources = var.secret_arns
  }
}

resource "aws_iam_role_policy" "look" {
  name   = "look-before-it-begins"
  role   = aws_iam_role.run.id
  policy = data.aws_iam_policy_document.look.json
}
