"""infra/ by the real Terraform and the real AWS provider, against moto: what it makes, keeps, refuses and leaves."""

import shutil
from pathlib import Path

import pytest
from clouds import CANARY, ROOT, Stack, terraform

NOTHING_TO_DO = 0  # what `plan -detailed-exitcode` says


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
    template = stack.client("ec2").describe_launch_template_versions(LaunchTemplateName="loopline-gpu")
    data = template["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert all(disk["Ebs"]["Encrypted"] for disk in data["BlockDeviceMappings"])
