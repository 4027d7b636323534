# GPU machines that are there while something learns, and cost nothing otherwise: an auto-scaling group from zero for spot
# and one for on-demand prices, each behind a capacity provider of the ECS cluster. A run asks for a provider; ECS asks
# the group for a machine, and gives it back when the run has ended.

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
}

data "aws_iam_policy_document" "machines" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "machine" {
  name               = "${var.name}-gpu-machine"
  assume_role_policy = data.aws_iam_policy_document.machines.json
}

resource "aws_iam_role_policy_attachment" "machine" {
  for_each = toset(["service-role/AmazonEC2ContainerServiceforEC2Role", "AmazonSSMManagedInstanceCore"])

  role       = aws_iam_role.machine.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/${each.key}"
}

data "aws_partition" "this" {}

resource "aws_iam_instance_profile" "machine" {
  name = "${var.name}-gpu-machine"
  role = aws_iam_role.machine.name
}

resource "aws_launch_template" "machine" {
  name                   = "${var.name}-gpu"
  image_id               = data.aws_ssm_parameter.image.insecure_value
  update_default_version = true
  vpc_security_group_ids = [var.security_group_id]

  user_data = base64encode(<<-SCRIPT
    #!/bin/bash
    cat >>/etc/ecs/ecs.config <<CONFIG
    ECS_CLUSTER=${var.cluster_name}
    ECS_ENABLE_GPU_SUPPORT=true
    ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
    ECS_CONTAINER_STOP_TIMEOUT=110s
    CONFIG
  SCRIPT
  )

  iam_instance_profile {
    arn = aws_iam_instance_profile.machine.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "volume"
    tags          = { project = var.name }
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted             = true
      delete_on_termination = true
      volume_size           = var.disk_gb
      volume_type           = "gp3"
    }
  }
}

locals {
  # Of on-demand machines, the share; the rest is spot.
  prices = { spot = 0, on-demand = 100 }
}

resource "aws_autoscaling_group" "machines" {
  for_each = local.prices

  name                  = "${var.name}-gpu-${each.key}"
  min_size              = 0
  max_size              = var.most_machines
  vpc_zone_identifier   = var.subnet_ids
  protect_from_scale_in = true
  capacity_rebalance    = each.key == "spot"

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 0
      on_demand_percentage_above_base_capacity = each.value
      spot_allocation_strategy                 = "price-capacity-optimized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.machine.id
        version            = "$Latest"
      }

      dynamic "override" {
        for_each = var.instance_types

        content {
          instance_type = override.value
        }
      }
    }
  }

  tag {
    key                 = "AmazonECSManaged"
    value               = "true"
    propagate_at_launch = true
  }

  tag {
    key                 = "Name"
    value               = "${var.name}-gpu-${each.key}"
    propagate_at_launch = true
  }

  # A provider's tags do not reach the machines, and a budget counts what bears this one.
  tag {
    key                 = "project"
    value               = var.name
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity] # ECS decides
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = var.cluster_name
  capacity_providers = concat(["FARGATE", "FARGATE_SPOT"], [for provider in aws_ecs_capacity_provider.machines : provider.name])
}

resource "aws_ecs_capacity_provider" "machines" {
  for_each = aws_autoscaling_group.machines

  name = each.value.name

  auto_scaling_group_provider {
    auto_scaling_group_arn         = each.value.arn
    managed_termination_protection = "ENABLED"
    managed_draining               = "ENABLED"

    managed_scaling {
      status                    = "ENABLED"
      target_capacity           = 100
      minimum_scaling_step_size = 1
      maximum_scaling_step_size = var.most_machines
      instance_warmup_period    = 180
    }
  }
}
