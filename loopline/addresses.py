"""Which ports and keys the laptop's services get: those of the last start, wherever these can still be had."""

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from loopline.errors import ConfigError
from loopline.keys import new_key
from loopline.laptop_addresses import LaptopAddresses, Standing
from loopline.settings import Settings
from loopline.supervised import write_private

STORE_PORT = 4300
PREFECT_PORT = 4200  # where Prefect's own documentation puts it
LABEL_STUDIO_PORT = 8080  # likewise
WORKER_PORT = 8787
READER_PORT = 3000  # BentoML's own
DEMO_PORT = 7860  # Gradio's own
LABEL_STUDIO_USER = "loopline@localhost"  # it signs in with what looks like an e-mail address; nothing is sent there
PASSWORD_BYTES = 15  # 20 characters, to be copied rather than typed


@dataclass(frozen=True)
class Wanted:
    """What a start is to have beside store and Prefect; `readers` are Bentos by colour."""

    labels: bool = False
    worker: bool = False
    demo: bool = False
    readers: Mapping[str, str] = field(default_factory=dict)

    @property
    def serving(self) -> bool:
        """True if models are served: to the demo page, or because a worker may release one."""
        return self.worker or self.demo


def last_addresses(home: Path) -> LaptopAddresses | None:
    """Return what the last start wrote; nothing if there was none, or none that can be read."""
    try:
        return LaptopAddresses.read(home)
    except (ConfigError, ValidationError):
        return None


def write_addresses(home: Path, addresses: LaptopAddresses) -> None:
    """Keep addresses and secrets for the next start, readable by the owner only."""
    write_private(LaptopAddresses.path(home), addresses.model_dump_json(indent=2))


def choose_addresses(
    settings: Settings, wanted: Wanted, *, last: LaptopAddresses | None, running: bool
) -> LaptopAddresses:
    """Choose ports, keeping those and the keys of the last start where possible; `running`: its ports are ours."""
    used = _ports(last)
    wishes = _wishes(settings, wanted, used)
    ports: dict[str, int] = {}
    for name, wished in wishes.items():
        ports[name] = _choose_port(wished, ours=set(used.values()) if running else set(), besides=set(ports.values()))
    chosen: dict[str, Any] = {
        "store_url": f"http://127.0.0.1:{ports['store']}",
        "prefect_url": f"http://127.0.0.1:{ports['prefect']}/api",
        "prefect_auth": _prefect_auth(last),
        "labels": wanted.labels,
        "worker": wanted.worker,
        "demo": wanted.demo,
    }
    chosen |= {
        f"{name}_url": f"http://127.0.0.1:{ports[name]}" for name in ("worker", "reader", "demo") if name in ports
    }
    kept = last or _with_new_keys(chosen)
    more = _label_studio(kept, port=ports["labels"]) if wanted.labels else {}
    if wanted.serving:
        readers = {
            colour: Standing(bento=bento, url=f"http://127.0.0.1:{ports[colour]}")
            for colour, bento in wanted.readers.items()
        }
        more |= {"readers": readers, "reader_key": kept.reader_key or SecretStr(new_key())}
    return kept.model_copy(update=chosen | more)


def _wishes(settings: Settings, wanted: Wanted, used: dict[str, int]) -> dict[str, tuple[int | None, ...]]:
    """Return which ports are wanted, and for each the numbers that would do, best first."""
    laptop = settings.laptop
    return {
        "store": (laptop.store_port, used.get("store"), STORE_PORT),
        "prefect": (laptop.prefect_port, used.get("prefect"), PREFECT_PORT),
        **({"labels": (laptop.label_studio_port, used.get("labels"), LABEL_STUDIO_PORT)} if wanted.labels else {}),
        **({"worker": (laptop.worker_port, used.get("worker"), WORKER_PORT)} if wanted.worker else {}),
        **({"reader": (laptop.reader_port, used.get("reader"), READER_PORT)} if wanted.serving else {}),
        **({"demo": (laptop.demo_port, used.get("demo"), DEMO_PORT)} if wanted.demo else {}),
        **({colour: (used.get(colour),) for colour in wanted.readers} if wanted.serving else {}),
    }


def _prefect_auth(last: LaptopAddresses | None) -> SecretStr:
    known = last and last.prefect_auth.get_secret_value()
    return SecretStr(known or f"loopline:{secrets.token_urlsafe(PASSWORD_BYTES)}")


def _with_new_keys(chosen: dict[str, Any]) -> LaptopAddresses:
    keys = {"store_access_key": secrets.token_hex(10), "store_secret_key": secrets.token_hex(20)}
    return LaptopAddresses.model_validate({**chosen, **keys})


def _label_studio(kept: LaptopAddresses, *, port: int) -> dict[str, Any]:
    return {
        "label_studio_url": f"http://127.0.0.1:{port}",
        "label_studio_user": kept.label_studio_user or LABEL_STUDIO_USER,
        "label_studio_password": kept.label_studio_password or SecretStr(secrets.token_urlsafe(PASSWORD_BYTES)),
    }


def _ports(last: LaptopAddresses | None) -> dict[str, int]:
    if last is None:
        return {}
    urls = {"store": last.store_url, "prefect": last.prefect_url, "labels": last.label_studio_url}
    urls |= {"worker": last.worker_url, "reader": last.reader_url, "demo": last.demo_url}
    urls |= {colour: standing.url for colour, standing in last.readers.items()}
    return {name: port for name, url in urls.items() if url and (port := urlsplit(url).port)}


def _choose_port(wishes: tuple[int | None, ...], *, ours: set[int], besides: set[int]) -> int:
    for port in wishes:
        if port and port not in besides and (port in ours or _is_free(port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False
