"""ECS: whether it could start a container at all. It says so itself only after minutes, and without a remedy."""

import re

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from loopline.errors import ConfigError

ECR = re.compile(
    r"^(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.[a-z.]+/(?P<repository>[^:@]+):(?P<tag>[^@]+)$"
)
ARN_REGION = 3  # its place among the parts of an ARN
MISSING = {"ImageNotFoundException", "RepositoryNotFoundException", "ResourceNotFoundException"}


def check_image(image: str) -> None:
    """Raise ConfigError if an image of ECR is not there; of another registry, or without the right to look, nothing."""
    found = ECR.match(image)
    if not found:
        return
    ecr = boto3.session.Session().client("ecr", region_name=found["region"])
    account, repository, tags = found["account"], found["repository"], [{"imageTag": found["tag"]}]
    try:
        ecr.describe_images(registryId=account, repositoryName=repository, imageIds=tags)
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            raise ConfigError(f"the image {image} is not in ECR; push it, or name another release") from None
    except BotoCoreError:
        return


def check_secret(arn: str) -> None:
    """Raise ConfigError if a secret is not there or has no value yet; without the right to look, nothing."""
    name = arn.rpartition(":")[2]
    secrets = boto3.session.Session().client("secretsmanager", region_name=arn.split(":")[ARN_REGION])
    try:
        if secrets.describe_secret(SecretId=arn).get("VersionIdsToStages"):
            return
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            return
        raise ConfigError(f"the secret {name} is not there; `terraform apply` makes it") from None
    except BotoCoreError:
        return
    remedy = f"aws secretsmanager put-secret-value --secret-id {arn} --secret-string file:///dev/stdin"
    raise ConfigError(f"the secret {name} has no value yet; {remedy}")
