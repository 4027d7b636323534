"""Where the laptop's services listen, and their keys: what `loopline up` writes and everything else reads."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, SecretStr

from loopline.errors import ConfigError

# Hidden wherever it is shown; in clear in the JSON document, which is the file that keeps it.
KeptSecret = Annotated[SecretStr, PlainSerializer(SecretStr.get_secret_value, return_type=str, when_used="json")]


class Standing(BaseModel):
    """A Bento that a process of the laptop serves, and where that process listens behind the readers' one address."""

    model_config = ConfigDict(frozen=True)

    bento: str
    url: str


class LaptopAddresses(BaseModel):
    """Where this machine's services listen and which keys they take: LOOPLINE_HOME/addresses.json, mode 0600.

    `labels`, `worker` and `demo` tell whether the last start was one with them. What else is known of them stays when
    they are left out. `readers` are the versions that stand at `reader_url`, by colour.
    """

    store_url: str
    store_access_key: str
    store_secret_key: KeptSecret
    prefect_url: str
    prefect_auth: KeptSecret = SecretStr("")
    labels: bool = False
    label_studio_url: str = ""
    label_studio_user: str = ""
    label_studio_password: KeptSecret = SecretStr("")
    label_studio_token: KeptSecret = SecretStr("")
    worker: bool = False
    worker_url: str = ""
    demo: bool = False
    readers: dict[str, Standing] = {}
    reader_url: str = ""
    reader_key: KeptSecret = SecretStr("")
    demo_url: str = ""

    @property
    def serving(self) -> bool:
        """True if models are served: to the demo page, or because a worker may release one."""
        return self.worker or self.demo

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
