"""Look at the pool where learning would run, before anything is done for it."""

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound

from loopline.clients.ecs import check_image, check_secret
from loopline.errors import ConfigError


def check_deployment(name: str) -> None:
    """Raise ConfigError if a deployment is not there, or its pool could not start its runs."""
    with get_client(sync_client=True) as client:
        try:
            deployed = client.read_deployment_by_name(name)
            pool = client.read_work_pool(deployed.work_pool_name or "")
        except ObjectNotFound:
            raise ConfigError(f"there is no deployment {name} with a work pool; run `loopline deploy`") from None
    check_pool(pool, deployed.job_variables or {})


def check_pool(pool: WorkPool, variables: dict[str, Any]) -> None:
    """Raise ConfigError if ECS has not what a pool's runs start from."""
    if pool.type != "ecs":
        return
    template = pool.base_job_template
    known = {name: one.get("default") for name, one in template["variables"]["properties"].items()} | variables
    check_image(known.get("image") or "")
    definition = template["job_configuration"].get("task_definition") or {}  # a pool of one's own may leave it out
    for container in definition.get("containerDefinitions", ()):
        for secret in container.get("secrets", ()):
            check_secret(secret["valueFrom"])
