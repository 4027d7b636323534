# What a month may cost: mail at four fifths, and a hard stop at the end of it. The pools are paused, and the workers lose
# their right to start runs, should nobody hear of it; what runs is left to end. To go on: resume the pools, and detach the
# policy.

resource "aws_budgets_budget" "month" {
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:project$%s", var.name)]
  }

  notification {
    comparison_operator        = "GREATER_THAN"
    threshold                  = 80
    threshold_type             = "PERCENTAGE"
    notification_type          = "ACTUAL"
    subscriber_email_addresses = [var.email]
  }

  notification {
    comparison_operator        = "GREATER_THAN"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    notification_type          = "ACTUAL"
    subscriber_email_addresses = [var.email]
    subscriber_sns_topic_arns  = [var.spent_topic_arn]
  }
}

data "aws_iam_policy_document" "stop" {
  statement {
    effect    = "Deny"
    actions   = ["ecs:RunTask", "ecs:StartTask"]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "stop" {
  name        = "${var.name}-spent"
  description = "The month's money is spent: no run is started."
  policy      = data.aws_iam_policy_document.stop.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "stop" {
  name               = "${var.name}-budget"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "attach" {
  statement {
    actions   = ["iam:AttachRolePolicy", "iam:DetachRolePolicy"]
    resources = [var.worker_role.arn]

    condition {
      test     = "ArnEquals"
      variable = "iam:PolicyARN"
      values   = [aws_iam_policy.stop.arn]
    }
  }
}

resource "aws_iam_role_policy" "stop" {
  name   = "stop"
  role   = aws_iam_role.stop.id
  policy = data.aws_iam_policy_document.attach.json
}

resource "aws_budgets_budget_action" "stop" {
  budget_name        = aws_budgets_budget.month.name
  action_type        = "APPLY_IAM_POLICY"
  approval_model     = "AUTOMATIC"
  notification_type  = "ACTUAL"
  execution_role_arn = aws_iam_role.stop.arn

  action_threshold {
    action_threshold_type  = "PERCENTAGE"
    action_threshold_value = 100
  }

  definition {
    iam_action_definition {
      policy_arn = aws_iam_policy.stop.arn
      roles      = [var.worker_role.name]
    }
  }

  subscriber {
    address           = var.email
    subscription_type = "EMAIL"
  }
}
