"""Where things are, and the secrets: read from the environment (prefix LOOPLINE_) and from .env.

Whatever is left at "laptop" stands for the services that `loopline up` starts on this machine; it writes their
addresses and keys into LOOPLINE_HOME, and the `resolved` methods read them from there.
Only tasks, dispatch, cli and deployments read settings. Everything else is given its section.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from loopline.errors import ConfigError

LAPTOP = "laptop"

# Hidden wherever it is shown; in clear in the JSON document, which is the file that keeps it.
KeptSecret = Annotated[SecretStr, PlainSerializer(SecretStr.get_secret_value, return_type=str, when_used="json")]


class LaptopAddresses(BaseModel):
    """Where this machine's services listen and which keys they take: LOOPLINE_HOME/addresses.json, mode 0600.

    `labels` tells whether the last start was one with Label Studio; what is known of it stays when it is left out.
    """

    store_url: str
    store_access_key: str
    store_secret_key: KeptSecret
    prefect_url: str
    labels: bool = False
    label_studio_url: str = ""
    label_studio_user: str = ""
    label_studio_password: KeptSecret = SecretStr("")
    label_studio_token: KeptSecret = SecretStr("")

    @staticmethod
    def path(home: Path) -> Path:
        """Return where the addresses of a home folder are written."""
        return home / "addresses.json"

    @classmethod
    def read(cls, home: Path) -> "LaptopAddresses":
        """Read the addresses that `loopline up` wrote; ConfigError if nothing was ever started."""
        try:
            return cls.model_validate_json(cls.path(home).read_text())
        except FileNotFoundError:
            raise ConfigError(f"no services were started in {home}; run `loopline up`, or point to your own") from None


class LaptopSettings(BaseModel):
    """The services that `loopline up` starts on this machine. A port that is taken is replaced by a free one."""

    model_config = ConfigDict(frozen=True)

    store_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 4300.")
    prefect_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 4200.")
    label_studio_port: int | None = Field(None, ge=1, le=65535, description="Unset: that of the last start, else 8080.")
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


class CometSettings(BaseModel):
    """The experiment tracker. The record in the store is the truth; Comet receives the same."""

    model_config = ConfigDict(frozen=True)

    mode: Literal["off", "online", "offline"] = Field("off", description="offline: archives in LOOPLINE_HOME/comet.")
    api_key: SecretStr | None = None
    workspace: str | None = None
    project: str = "loopline"
    url: str | None = Field(None, description="Of your own Comet server; unset: Comet's.")
    log_code: bool = Field(False, description="Send source, git patch, environment and command line too.")


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
        return self.prefect.model_copy(update={"api_url": LaptopAddresses.read(self.folder).prefect_url})

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
