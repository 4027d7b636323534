"""What infra/ costs: an hour of learning, and a month, each line with its arithmetic, from a dated table of prices."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from loopline.errors import ConfigError

TABLE = Path(__file__).with_name("prices.yaml")
# As infra/ makes them.
WORKERS, WORKER_CPU, WORKER_GB, SECRETS, DISK_GB, DATABASE_GB = 2, 0.5, 1, 3, 100, 20


class Behind(NamedTuple):
    """What stands behind a load balancer: tasks on Fargate, and a database or none."""

    task_count: int
    cpu: float
    memory_gb: float
    has_database: bool


BEHIND = {"service": Behind(2, 1, 2, False), "server": Behind(1, 1, 2, True), "label_studio": Behind(1, 1, 4, True)}


class Machine(BaseModel):
    """A machine with GPUs; its price is that of an hour."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    price: float
    gpu: str
    gpu_memory_gb: int


class Prices(BaseModel):
    """A table of prices, in US dollars, of one region and day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dated: date
    region: str
    month_hours: int
    spot_share: float
    machines: dict[str, Machine]
    disk_gb_month: float
    nat_hour: float
    address_hour: float
    fargate_cpu_hour: float
    fargate_gb_hour: float
    key_month: float
    secret_month: float
    store_gb_month: float
    balancer_hour: float
    database_hour: float
    database_gb_month: float


class Cost(NamedTuple):
    """A line of an estimate."""

    what: str
    usd: float
    how: str


def read_prices(path: Path = TABLE) -> Prices:
    """Read the table of prices."""
    return Prices.model_validate(yaml.safe_load(path.read_text()))


def training_hour(prices: Prices, machine: str) -> list[Cost]:
    """Return what an hour of learning costs on demand and at spot prices; ConfigError for an unknown machine."""
    if machine not in prices.machines:
        known = ", ".join(prices.machines)
        raise ConfigError(f"the table of {prices.dated} has no price of {machine!r}; choose from: {known}")
    found = prices.machines[machine]
    disk = DISK_GB * prices.disk_gb_month / prices.month_hours
    disk_how = f"{DISK_GB} GB x {prices.disk_gb_month} / {prices.month_hours} h"
    spot = found.price * prices.spot_share
    return [
        Cost(f"{machine}, on demand", found.price + disk, f"{found.price} + {disk_how}"),
        Cost(f"{machine}, spot", spot + disk, f"{found.price} x {prices.spot_share} + {disk_how}"),
    ]


def month(
    prices: Prices, *, machines: Sequence[str], hours: float, stored_gb: float, reached: Sequence[str] = ()
) -> list[Cost]:
    """Return what a month costs: what stands still, what is stored, and so many hours of learning on each machine.

    `reached` names what people reach, which stands still too; ConfigError for what infra/ has not.
    """
    standing = prices.month_hours
    worker = WORKER_CPU * prices.fargate_cpu_hour + WORKER_GB * prices.fargate_gb_hour
    worker_how = f"({WORKER_CPU} CPU x {prices.fargate_cpu_hour} + {WORKER_GB} GB x {prices.fargate_gb_hour})"
    nat = prices.nat_hour + prices.address_hour
    costs = [
        Cost("NAT gateway", nat * standing, f"({prices.nat_hour} + {prices.address_hour}) x {standing} h"),
        Cost(f"{WORKERS} workers", WORKERS * worker * standing, f"{WORKERS} x {worker_how} x {standing} h"),
        Cost("key", prices.key_month, f"{prices.key_month}"),
        Cost(f"{SECRETS} secrets", SECRETS * prices.secret_month, f"{SECRETS} x {prices.secret_month}"),
        Cost("store", stored_gb * prices.store_gb_month, f"{stored_gb:g} GB x {prices.store_gb_month}"),
    ]
    costs += [line for name in reached for line in _behind(prices, name)]
    for machine in machines:
        for hour in training_hour(prices, machine)[1:] if hours else ():
            costs.append(Cost(f"{hours:g} h of {hour.what}", hours * hour.usd, f"{hours:g} h x {hour.usd:.4f}"))
    return costs


def _behind(prices: Prices, name: str) -> list[Cost]:
    if name not in BEHIND:
        raise ConfigError(f"nothing that people reach is called {name!r}; choose from: {', '.join(BEHIND)}")
    there, standing = BEHIND[name], prices.month_hours
    task = there.cpu * prices.fargate_cpu_hour + there.memory_gb * prices.fargate_gb_hour
    task_how = f"({there.cpu} CPU x {prices.fargate_cpu_hour} + {there.memory_gb} GB x {prices.fargate_gb_hour})"
    costs = [
        Cost(f"{name}: balancer", prices.balancer_hour * standing, f"{prices.balancer_hour} x {standing} h"),
        Cost(f"{name}: tasks", there.task_count * task * standing, f"{there.task_count} x {task_how} x {standing} h"),
    ]
    if there.has_database:
        usd = prices.database_hour * standing + DATABASE_GB * prices.database_gb_month
        how = f"{prices.database_hour} x {standing} h + {DATABASE_GB} GB x {prices.database_gb_month}"
        costs.append(Cost(f"{name}: database", usd, how))
    return costs
