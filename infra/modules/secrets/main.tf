# Names for secrets. Their values are put in by hand, so that no state, plan or log ever holds one:
#   aws secretsmanager put-secret-value --secret-id NAME --secret-string file:///dev/stdin

resource "aws_secretsmanager_secret" "this" {
  for_each = var.names

  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.recovery_days
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "Read"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret in aws_secretsmanager_secret.this : secret.arn]
  }

  statement {
    sid       = "Decrypt"
    actions   = ["kms:Decrypt"]
    resources = [var.key_arn]
  }
}

resource "aws_iam_policy" "read" {
  name        = "${var.name}-secrets"
  description = "Read Loopline's secrets, as ECS does before a container starts."
  policy      = data.aws_iam_policy_document.read.json
}
