"""What prefect.yaml names, on the Prefect server that the settings name."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Json, TypeAdapter, ValidationError

from loopline.clients.store import Store
from loopline.errors import ConfigError, wrong_values
from loopline.flow_processes import ask
from loopline.settings import Settings


class WorkPool(BaseModel):
    """A work pool as infra/'s output `work_pools` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    type: Literal["ecs", "kubernetes", "process"]
    concurrency_limit: Annotated[int, Field(ge=1)]
    base_job_template: Json[dict[str, Any]]


POOLS = TypeAdapter(list[WorkPool])


def read_pools(settings: Settings, place: str) -> list[WorkPool]:
    """Read `terraform output -json work_pools` from a file or from s3://bucket/key; ConfigError if it is none."""
    try:
        if there := re.fullmatch(r"s3://([^/]+)/(.+)", place):
            bucket, key = there.groups()
            store = settings.resolved_store().model_copy(update={"bucket": bucket, "prefix": ""})
            return POOLS.validate_json(Store(store).read(key))
        return POOLS.validate_json(Path(place).read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{place} can't be read ({error.strerror}); write `terraform output -json work_pools` there"
        ) from None
    except ValidationError as error:
        raise ConfigError(f"{place} describes no work pools: {wrong_values(error)}") from None


def deploy(settings: Settings, pools: str | None = None) -> tuple[list[str], list[str]]:
    """Make or update all deployments and their work pools; return their names, and those of orphans that were deleted.

    Pools that are described are made so; any other that is there already stays as it is. LooplineError says in one
    sentence why it can't be done.
    """
    described = POOLS.dump_json(read_pools(settings, pools), round_trip=True).decode() if pools else "[]"
    prefect = settings.prefect
    # What prefect.yaml takes from the settings.
    places = {"LOOPLINE_POOL": prefect.pool, "LOOPLINE_GPU_POOL": prefect.gpu_pool or prefect.pool}
    places |= {"LOOPLINE_IMAGE": prefect.image} if prefect.image else {}
    names = ask(settings, "deploy", described, **places)
    return names["kept"], names["gone"]
