"""Where things are, and the secrets: read from the environment (prefix LOOPLINE_) and from .env.

Whatever is left at "laptop" stands for the services that `loopline up` starts on this machine; it writes their
addresses and keys into LOOPLINE_HOME, and the `resolved` methods read them from there.
Only tasks, dispatch, cli and deployments read settings. Everything else is given its section.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from loopline.errors import ConfigError

LAPTOP = "laptop"


class LaptopAddresses(BaseModel):
    """Where this machine's services listen and which keys they take: LOOPLINE_HOME/addresses.json, mode 0600."""

    store_url: str
    store_access_key: str
    store_secret_key: SecretStr
    prefect_url: str

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


class RegistrySettings(BaseModel):
    """The git repository that holds dataset and model versions."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(
        LAPTOP, description='"laptop" (a bare repository in LOOPLINE_HOME), or the URL of a git repository.'
    )


class TrainSettings(BaseModel):
    """What the machine that trains can do."""

    model_config = ConfigDict(frozen=True)

    accelerator: str = Field("auto", description="cpu, gpu or auto: Lightning's accelerator.")
    precision: str = Field("auto", description="Lightning's precision; auto: 32-bit on a CPU, bf16 on a GPU.")
    threads: int | None = Field(None, ge=1, description="CPU threads of training; unset: all cores.")


class Settings(BaseSettings):
    """Every knob and secret."""

    model_config = SettingsConfigDict(
        env_prefix="LOOPLINE_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    home: Path = Path(".loopline")
    laptop: LaptopSettings = LaptopSettings()
    store: StoreSettings = StoreSettings()
    prefect: PrefectSettings = PrefectSettings()
    registry: RegistrySettings = RegistrySettings()
    train: TrainSettings = TrainSettings()

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

    def resolved_registry(self) -> RegistrySettings:
        """Return the registry's settings with the laptop's own repository filled in."""
        if self.registry.url != LAPTOP:
            return self.registry
        return self.registry.model_copy(update={"url": str(self.folder / "registry.git")})
