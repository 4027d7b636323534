"""infra/ by the real Terraform and the real AWS provider, against moto: what it makes, keeps, refuses and leaves."""

import json
import re
import shutil
from pathlib import Path

import pytest
from clouds import CANARY, REGION, ROOT, Stack, client, container_of, copied, terraform

NOTHING_TO_DO = 0  # what `plan -detailed-exitcode` says
BEHIND = ("loopline-service", "loopline-server", "loopline-labels")  # load balancers
DAYS = 7  # of a database's backups


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module") / "infra"
    shutil.copytree(ROOT / "infra", folder, ignore=shutil.ignore_patterns(".terraform*"))
    begun = terraform("init", "-no-color", cwd=folder)
    assert begun.returncode == 0, begun.stderr
    return folder


def test_it_is_formatted_and_valid(module: Path) -> None:
    formatted = terraform("fmt", "-check", "-recursive", cwd=module)
    assert formatted.stdout == ""
    assert terraform("validate", "-no-color", cwd=module).returncode == 0


@pytest.mark.elsewhere
def test_what_the_variables_refuse_and_what_follows_from_them(module: Path) -> None:
    tested = terraform("test", "-no-color", cwd=module)
    assert tested.returncode == 0, tested.stdout


def test_interrupted_and_repeated_and_applied_again_there_is_nothing_to_do(stack: Stack) -> None:
    plan = stack.terraform("plan", "-detailed-exitcode")
    assert plan.returncode == NOTHING_TO_DO, plan.stdout


def test_the_state_holds_no_secret(stack: Stack) -> None:
    state = (stack.folder / "terraform.tfstate").read_text()
    assert "loopline/PREFECT_API_AUTH_STRING" in state and CANARY not in state


def test_the_bucket_is_closed_encrypted_and_forgets_no_blob(stack: Stack) -> None:
    s3, bucket = stack.client("s3"), "loopline-of-a-team"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["Filter"].get("Prefix") for rule in rules if "Expiration" in rule} == {"captured/", "tmp/"}


def test_gpu_machines_are_none_until_one_is_asked_for(stack: Stack) -> None:
    groups = stack.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert {(group["AutoScalingGroupName"], group["MinSize"], group["DesiredCapacity"]) for group in groups} == {
        ("loopline-gpu-spot", 0, 0),
        ("loopline-gpu-on-demand", 0, 0),
    }
    tags = [tag for group in groups for tag in group["Tags"] if tag["Key"] == "project"]
    assert len(tags) == len(groups) and all(tag["PropagateAtLaunch"] for tag in tags), "the budget goes by it"
    template = stack.client("ec2").describe_launch_template_versions(LaunchTemplateName="loopline-gpu")
    data = template["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert all(disk["Ebs"]["Encrypted"] for disk in data["BlockDeviceMappings"])


def test_what_people_reach_answers_by_tls_alone(stack: Stack) -> None:
    elb = stack.client("elbv2")
    balancers = elb.describe_load_balancers()["LoadBalancers"]
    assert {one["LoadBalancerName"]: one["Scheme"] for one in balancers} == dict.fromkeys(BEHIND, "internal")
    for balancer in balancers:
        found = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        listeners = {listener["Port"]: listener for listener in found}
        assert listeners.keys() == {80, 443}
        assert listeners[80]["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"
        assert listeners[443]["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-")
        told = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])["Attributes"]
        assert {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"} in told


@pytest.mark.parametrize("name", BEHIND)
def test_a_container_is_reached_through_its_balancer_alone(stack: Stack, name: str) -> None:
    ecs, ec2 = stack.client("ecs"), stack.client("ec2")
    (service,) = ecs.describe_services(cluster="loopline", services=[name])["services"]
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "DISABLED"
    (target,) = service["loadBalancers"]
    (group,) = ec2.describe_security_groups(GroupIds=network["securityGroups"])["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    (balancer,) = stack.client("elbv2").describe_load_balancers(Names=[name])["LoadBalancers"]
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == balancer["SecurityGroups"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (target["containerPort"],) * 2 + ([],)


def test_the_service_runs_without_rights_and_writes_nothing_but_its_tmp(stack: Stack) -> None:
    container = container_of(stack, "loopline-service")
    assert container["image"].endswith("/loopline/service:v2")
    assert (container["user"], container["readonlyRootFilesystem"]) == ("10001:10001", True)
    assert [place["containerPath"] for place in container["linuxParameters"]["tmpfs"]] == ["/tmp"]
    assert {secret["name"] for secret in container["secrets"]} == {"LOOPLINE_SERVICE__KEY_HASHES"}


def test_the_service_grows_with_what_is_asked_of_it(stack: Stack) -> None:
    scaling = stack.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (
        "service/loopline/loopline-service",
        2,
        6,
    )
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    assert {policy["PolicyName"] for policy in policies} == {"loopline-service-cpu", "loopline-service-requests"}


def test_a_run_cannot_read_the_secrets_of_the_service_nor_of_label_studio(stack: Stack) -> None:
    iam = stack.client("iam")
    policies = {policy["PolicyName"]: policy for policy in iam.list_policies(Scope="Local")["Policies"]}
    policy = policies["loopline-secrets"]
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    read = next(statement for statement in version["Document"]["Statement"] if statement["Sid"] == "Read")
    assert read["Resource"] and all(":secret:loopline/" in arn for arn in read["Resource"])


def test_databases_are_encrypted_closed_and_their_passwords_in_no_state(stack: Stack) -> None:
    databases = stack.client("rds").describe_db_instances()["DBInstances"]
    assert {one["DBInstanceIdentifier"] for one in databases} == set(BEHIND) - {"loopline-service"}
    state = (stack.folder / "terraform.tfstate").read_text()
    for database in databases:
        assert database["StorageEncrypted"] and not database.get("PubliclyAccessible")
        assert database["BackupRetentionPeriod"] == DAYS
        secret = database["MasterUserSecret"]["SecretArn"]
        password = json.loads(stack.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        assert secret in state and password["password"] not in state
        container = container_of(stack, database["DBInstanceIdentifier"])
        assert f"{secret}:password::" in {one["valueFrom"] for one in container["secrets"]}


def test_the_images_of_others_are_those_that_were_tried() -> None:
    pins = (ROOT / "loopline" / "label_studio.txt").read_text()
    (pinned,) = re.findall(r"^label-studio==(.+)$", pins, re.MULTILINE)
    variables = (ROOT / "infra" / "variables.tf").read_text()
    assert f'release         = optional(string, "{pinned}")' in variables


def test_a_bucket_whose_name_another_account_has_is_named(cloud: str, tmp_path: Path) -> None:
    taken = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    client("s3", cloud, **another_account(cloud)).create_bucket(Bucket="loopline-taken", **taken)
    stack = Stack(copied(tmp_path / "infra") / "examples" / "complete", cloud)
    variables = dict.fromkeys(("release", "service_release"), "v1") | {"name": "other", "bucket": "loopline-taken"}
    variables |= {"prefect_api_url": "https://prefect.example.com/api", "registry_url": "https://git.example.com/r.git"}
    variables |= {"label_studio_url": "https://labels.example.com", "label_studio_user": "team@example.com"}
    variables |= {"certificate_arn": "arn:aws:acm:eu-central-1:123456789012:certificate/c"}
    (stack.folder / "terraform.tfvars.json").write_text(json.dumps(variables | {"disposable": True}))
    assert stack.terraform("init").returncode == 0
    bucket = "-target=module.loopline.module.storage.aws_s3_bucket.this"  # and what it needs: the key
    refused = stack.terraform("apply", "-auto-approve", bucket)
    assert refused.returncode, refused.stdout
    assert re.search(r"creating S3 Bucket \(loopline-taken\).*BucketAlreadyExists", " ".join(refused.stderr.split()))


def another_account(cloud: str) -> dict[str, str]:
    """Return credentials of another account, as boto3 takes them."""
    role = "arn:aws:iam::999999999999:role/somebody"
    found = client("sts", cloud).assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
    names = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
    return {ours: found[theirs] for ours, theirs in (names | {"aws_session_token": "SessionToken"}).items()}
