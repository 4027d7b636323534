"""What `terraform destroy` leaves: nothing. Named so that it comes after all who need the stack."""

from clouds import Stack


def test_destroyed_nothing_is_left(stack: Stack) -> None:
    done = stack.terraform("destroy", "-auto-approve")
    assert done.returncode == 0, done.stderr
    ec2, ecs, iam = stack.client("ec2"), stack.client("ecs"), stack.client("iam")
    elb, rds, efs = stack.client("elbv2"), stack.client("rds"), stack.client("efs")
    left = {
        "buckets": stack.client("s3").list_buckets()["Buckets"],
        "repositories": stack.client("ecr").describe_repositories()["repositories"],
        "secrets": stack.client("secretsmanager").list_secrets()["SecretList"],
        "clusters": [
            one
            for one in ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"])["clusters"]
            if one["status"] == "ACTIVE"
        ],
        "groups": stack.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"],
        "templates": ec2.describe_launch_templates()["LaunchTemplates"],
        "balancers": elb.describe_load_balancers()["LoadBalancers"],
        "targets": elb.describe_target_groups()["TargetGroups"],
        "databases": rds.describe_db_instances()["DBInstances"],
        "snapshots": rds.describe_db_snapshots()["DBSnapshots"],
        "subnets of databases": rds.describe_db_subnet_groups()["DBSubnetGroups"],
        "disks": efs.describe_file_systems()["FileSystems"],
        "scaling": stack.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")[
            "ScalableTargets"
        ],
        "queues": stack.client("sqs").list_queues().get("QueueUrls", []),
        "topics": stack.client("sns").list_topics()["Topics"],
        "rules": stack.client("events").list_rules()["Rules"],
        "logs": stack.client("logs").describe_log_groups()["logGroups"],
        "networks": [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]],
        "addresses": ec2.describe_addresses()["Addresses"],
        "gateways": [one for one in ec2.describe_nat_gateways()["NatGateways"] if one["State"] != "deleted"],
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"].startswith("loopline")],
        "policies": iam.list_policies(Scope="Local")["Policies"],
    }
    assert not {name: found for name, found in left.items() if found}
