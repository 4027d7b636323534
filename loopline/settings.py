"""Where things are, and the secrets: read from the environment (prefix LOOPLINE_) and from .env.

Whatever is left at "laptop" stands for the services that `loopline up` starts on this machine; it writes their
addresses and keys into LOOPLINE_HOME, and the `resolved` methods read them from there.
Only tasks, dispatch, cli and deployments read settings. Everything else is given its section.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from loopline.errors import ConfigError
from loopline.laptop_addresses import LaptopAddresses
from loopline.target_settings import KubeflowSettings, NuclioSettings

LAPTOP = "laptop"
NPM_REGISTRY = "https://registry.npmjs.org"


class LaptopSettings(BaseModel):
    """The services that `loopline up` starts on this machine. A port that is taken is replaced by a free one."""

    model_config = ConfigDict(frozen=True)

    store_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 4300.")
    prefect_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 4200.")
    label_studio_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 8080.")
    worker_port: int | None = Field(
        None, ge=1, le=65535, description="Of the worker's health check. Unset: that of the last start, else 8787."
    )
    reader_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 3000.")
    demo_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 7860.")
    label_studio_venv: Path | None = Field(
        None, description="An environment that has Label Studio; unset: made in LOOPLINE_HOME/label-studio/venv."
    )
    label_studio_database: SecretStr | None = Field(
        None, description="postgresql://user:password@host/database for Label Studio; unset: SQLite in LOOPLINE_HOME."
    )


class StoreSettings(BaseModel):
    """The object store."""

    model_config = ConfigDict(frozen=True)

    endpoint: str = Field(LAPTOP, description='"laptop", "aws", or the URL of another S3 server.')
    bucket: str = "loopline"
    prefix: str = Field("", description="Root of everything inside the bucket, without slashes at the ends.")
    region: str = "us-east-1"
    access_key: str | None = Field(None, description="Unset: boto3 looks where it always looks.")
    secret_key: SecretStr | None = None


class PrefectSettings(BaseModel):
    """The orchestrator."""

    model_config = ConfigDict(frozen=True)

    api_url: str = Field(LAPTOP, description='"laptop", or the URL of a Prefect server, ending in /api.')
    auth_string: SecretStr | None = Field(None, description="USER:PASSWORD, where your server asks for them.")
    pool: str = Field("laptop", description="Work pool of what `loopline deploy` deploys.")
    gpu_pool: str | None = Field(None, description="Work pool of what wants a GPU; unset: the same.")
    image: str | None = Field(
        None, description="Of the pools' jobs, where they run in containers; unset: the pool's own."
    )
    notify_url: SecretStr | None = Field(
        None, description="Web address that is told of failed, late and crashed runs and of models held or rolled back."
    )
    gpu_deployment: str | None = Field(
        None, description="Deployment that runs fit_model on a GPU pool, such as fit-model/gpu; unset: in this process."
    )


class LabelStudioSettings(BaseModel):
    """The server where people label."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(LAPTOP, description='"laptop", or the URL of your own Label Studio.')
    api_key: SecretStr | None = Field(None, description="A personal access token.")
    store_endpoint: str | None = Field(
        None, description="Where Label Studio and its users' browsers reach the store; unset: the store's own endpoint."
    )
    hint_secret: SecretStr | None = Field(
        None, min_length=16, description="What its webhook sends as X-Loopline-Secret to deployments/label_hints.py."
    )
    price_per_hour: float = Field(0.0, ge=0, description="Of an annotator, in your currency; cost follows from it.")


class RegistrySettings(BaseModel):
    """The git repository that holds dataset and model versions."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(
        LAPTOP, description='"laptop" (a bare repository in LOOPLINE_HOME), or the URL of a git repository.'
    )


class TrainSettings(BaseModel):
    """What the machines that train can do, and what they cost."""

    model_config = ConfigDict(frozen=True)

    accelerator: str = Field("auto", description="cpu, gpu or auto: Lightning's accelerator.")
    precision: str = Field("auto", description="Lightning's precision; auto: 32-bit on a CPU, bf16 on a GPU.")
    threads: int | None = Field(None, ge=1, description="CPU threads of a process that trains; unset: all cores.")
    strategy: str = Field("auto", description="Lightning's strategy, such as ddp; auto: its own choice.")
    devices: int = Field(1, ge=1, description="GPUs, or processes on a CPU, of one machine.")
    nodes: int = Field(1, ge=1, description="Machines of one training run.")
    compile: bool = Field(False, description="torch.compile: minutes at the start, for long runs on a GPU.")
    loader_workers: int = Field(0, ge=0, description="Processes that prepare batches; 0: the training process itself.")
    price_per_hour: float = Field(0.0, ge=0, description="Of one machine, in your currency; cost follows from it.")


class ScaleSettings(BaseModel):
    """Who checks and preprocesses images, where they are too many for one machine."""

    model_config = ConfigDict(frozen=True)

    dask: str | None = Field(
        None,
        pattern=r"^((tcp|tls)://\S+:\d+|local:[1-9]\d*)$",
        description="A Dask scheduler, such as tls://dask.example.com:8786, or local:2 for two processes of this "
        "machine; unset: the run's own process.",
    )
    range_count: int = Field(2000, ge=1, description="Images that one of its tasks takes in.")


class WatchSettings(BaseModel):
    """Who is told what a look at a model in service measured."""

    model_config = ConfigDict(frozen=True)

    pushgateway: str = Field("", description="Address of a Prometheus Pushgateway; unset: nobody's.")


class TuneSettings(BaseModel):
    """Who works on a search, and where its trials are written down."""

    model_config = ConfigDict(frozen=True)

    storage: SecretStr = Field(
        SecretStr(LAPTOP),
        description='"laptop" (SQLite in LOOPLINE_HOME), or a database for many machines: postgresql://user:password@host/db.',
    )
    workers: int = Field(1, ge=1, description="Processes on this machine; each takes its share of the cores.")
    deployment: str | None = Field(None, description="Deployment that more workers run as, such as run-trials/gpu.")
    pool_workers: int = Field(0, ge=0, description="How many of these; they need a storage that they can reach.")


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def _checked_hashes(text: str) -> str:
    if not all(re.fullmatch("[0-9a-f]{64}", part) for part in _parts(text)):
        raise ValueError("should be sha256 hashes in hex between commas; `loopline key` makes a key and its hash")
    return text


class ServiceSettings(BaseModel):
    """The service that answers over HTTP: who may ask, how much, and what is kept of it."""

    model_config = ConfigDict(frozen=True)

    key_hashes: Annotated[str, AfterValidator(_checked_hashes)] = Field(
        "", description="sha256 of each API key in hex, between commas; `loopline key` makes one."
    )
    open: bool = Field(False, description="Answer without a key: for a service that only this machine can reach.")
    least_confidence: float = Field(0.5, ge=0, le=1, description="Below it an answer is marked unsure.")
    requests_per_minute: int = Field(
        600, ge=1, description="Of one key, on one machine; each picture of a batch counts. More are refused with 429."
    )
    most_waiting: int = Field(64, ge=1, description="Pictures that wait in one process; more are refused with 503.")
    most_batch: int = Field(32, ge=1, description="Pictures of one /read_batch.")
    most_mb: int = Field(16, ge=1, description="Of one request.")
    timeout_seconds: float = Field(10, gt=0, le=50, description="Of one request, its body included.")
    cors_origins: str = Field("", description="Web pages that may ask, between commas, such as https://example.com.")
    capture: bool = Field(False, description="Keep what was asked and answered, in the store's captured/: ask consent.")
    capture_days: int = Field(90, ge=1, description="How long; housekeeping deletes what is older.")
    spool: Path = Field(Path("spool"), description="Folder for what waits for the store.")
    signing_secret: SecretStr | None = Field(
        None, min_length=16, description="Signs prediction ids, alike on all replicas; unset: random, in the spool."
    )
    spool_mb: int = Field(256, ge=1, description="Most that waits; beyond it new pictures are not kept.")
    package_sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="Serve this package alone; unset: the one that the Bento was built of.",
    )

    @property
    def hashes(self) -> tuple[str, ...]:
        """Every key's hash."""
        return _parts(self.key_hashes)

    @property
    def origins(self) -> tuple[str, ...]:
        """Every web page that may ask."""
        return _parts(self.cors_origins)


class ClientSettings(BaseModel):
    """The service that `loopline read` asks."""

    model_config = ConfigDict(frozen=True)

    url: str | None = Field(None, description="Unset: read with a package of the registry, without a service.")
    key: SecretStr | None = None


class CometSettings(BaseModel):
    """The experiment tracker. The record in the store is the truth; Comet receives the same."""

    model_config = ConfigDict(frozen=True)

    mode: Literal["off", "online", "offline"] = Field("off", description="offline: archives in LOOPLINE_HOME/comet.")
    api_key: SecretStr | None = None
    workspace: str | None = None
    project: str = "loopline"
    url: str | None = Field(None, description="Of your own Comet server; unset: Comet's.")
    log_code: bool = Field(False, description="Send source, git patch, environment and command line too.")


class ExportSettings(BaseModel):
    """What `loopline export` fetches."""

    model_config = ConfigDict(frozen=True)

    npm_registry: str | None = Field(
        None, description=f"Unset: npm's own setting npm_config_registry, else {NPM_REGISTRY}."
    )


class Settings(BaseSettings):
    """Every knob and secret."""

    model_config = SettingsConfigDict(
        env_prefix="LOOPLINE_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    home: Path = Path(".loopline")
    laptop: LaptopSettings = LaptopSettings()
    store: StoreSettings = StoreSettings()
    prefect: PrefectSettings = PrefectSettings()
    label_studio: LabelStudioSettings = LabelStudioSettings()
    registry: RegistrySettings = RegistrySettings()
    train: TrainSettings = TrainSettings()
    tune: TuneSettings = TuneSettings()
    comet: CometSettings = CometSettings()
    service: ServiceSettings = ServiceSettings()
    scale: ScaleSettings = ScaleSettings()
    watch: WatchSettings = WatchSettings()
    client: ClientSettings = ClientSettings()
    export: ExportSettings = ExportSettings()
    nuclio: NuclioSettings = NuclioSettings()
    kubeflow: KubeflowSettings = KubeflowSettings()

    @property
    def folder(self) -> Path:
        """The home folder, absolute."""
        return self.home.expanduser().resolve()

    def resolved_store(self) -> StoreSettings:
        """Return the store's settings with the laptop's own address and keys filled in."""
        if self.store.endpoint != LAPTOP:
            return self.store
        laptop = LaptopAddresses.read(self.folder)
        return self.store.model_copy(
            update={
                "endpoint": laptop.store_url,
                "access_key": laptop.store_access_key,
                "secret_key": laptop.store_secret_key,
            }
        )

    def resolved_prefect(self) -> PrefectSettings:
        """Return the orchestrator's settings with the laptop's own address filled in."""
        if self.prefect.api_url != LAPTOP:
            return self.prefect
        laptop = LaptopAddresses.read(self.folder)
        return self.prefect.model_copy(update={"api_url": laptop.prefect_url, "auth_string": laptop.prefect_auth})

    def resolved_label_studio(self) -> LabelStudioSettings:
        """Return the label server's settings with the laptop's own address and token filled in."""
        if self.label_studio.url != LAPTOP:
            return self.label_studio
        laptop = LaptopAddresses.read(self.folder) if LaptopAddresses.path(self.folder).exists() else None
        if laptop is None or not laptop.labels or not laptop.label_studio_token:
            raise ConfigError(f"Label Studio was not started in {self.folder}; run `loopline up --labels`")
        return self.label_studio.model_copy(
            update={"url": laptop.label_studio_url, "api_key": laptop.label_studio_token}
        )

    def shown_store(self) -> StoreSettings:
        """Return the store as Label Studio and its users' browsers reach it."""
        store, endpoint = self.resolved_store(), self.label_studio.store_endpoint
        return store.model_copy(update={"endpoint": endpoint}) if endpoint else store

    def resolved_registry(self) -> RegistrySettings:
        """Return the registry's settings with the laptop's own repository filled in."""
        if self.registry.url != LAPTOP:
            return self.registry
        return self.registry.model_copy(update={"url": str(self.folder / "registry.git")})

    def npm_registry(self) -> str:
        """Return the npm registry's address; npm itself takes its setting from the environment in either case."""
        names = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
        return self.export.npm_registry or next(filter(None, map(os.environ.get, names)), NPM_REGISTRY)


def read_settings() -> Settings:
    """Read the settings; ConfigError names the one that is wrong, and nothing that may be a secret."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        name = "LOOPLINE_" + "__".join(str(part) for part in wrong["loc"]).upper()
        raise ConfigError(
            f"{name}: {wrong['msg'].removeprefix('Value error, ')}; change it in the environment or in .env"
        ) from None
