"""Which ports and keys the laptop's services get: those of the last start, wherever these can still be had."""

import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from loopline.errors import ConfigError
from loopline.keys import new_key
from loopline.settings import LaptopAddresses, Settings
from loopline.supervised import write_private

STORE_PORT = 4300
PREFECT_PORT = 4200  # where Prefect's own documentation puts it
LABEL_STUDIO_PORT = 8080  # likewise
WORKER_PORT = 8787
READER_PORT = 3000  # BentoML's own
DEMO_PORT = 7860  # Gradio's own
LABEL_STUDIO_USER = "loopline@localhost"  # it signs in with what looks like an e-mail address; nothing is sent there
PASSWORD_BYTES = 15  # 20 characters, to be copied rather than typed


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
    settings: Settings, *, last: LaptopAddresses | None, labels: bool, worker: bool, bento: str, running: bool
) -> LaptopAddresses:
    """Choose ports, keeping those and the keys of the last start where possible; `running`: its ports are ours.

    `bento` is what the demo page shows, "" for no page.
    """
    laptop = settings.laptop
    used = _ports(last)
    wishes = {
        "store": (laptop.store_port, used.get("store"), STORE_PORT),
        "prefect": (laptop.prefect_port, used.get("prefect"), PREFECT_PORT),
        **({"labels": (laptop.label_studio_port, used.get("labels"), LABEL_STUDIO_PORT)} if labels else {}),
        **({"worker": (laptop.worker_port, used.get("worker"), WORKER_PORT)} if worker else {}),
        **({"reader": (laptop.reader_port, used.get("reader"), READER_PORT)} if bento else {}),
        **({"demo": (laptop.demo_port, used.get("demo"), DEMO_PORT)} if bento else {}),
    }
    ports: dict[str, int] = {}
    for name, wished in wishes.items():
        ports[name] = _choose_port(wished, ours=set(used.values()) if running else set(), besides=set(ports.values()))
    chosen: dict[str, str | bool] = {
        "store_url": f"http://127.0.0.1:{ports['store']}",
        "prefect_url": f"http://127.0.0.1:{ports['prefect']}/api",
        "labels": labels,
        "worker": worker,
        "bento": bento,
    }
    if worker:
        chosen["worker_url"] = f"http://127.0.0.1:{ports['worker']}"
    kept = last or _with_new_keys(chosen)
    more = (_label_studio(kept, port=ports["labels"]) if labels else {}) | (_demo(kept, ports) if bento else {})
    return kept.model_copy(update=chosen | more)


def _with_new_keys(chosen: dict[str, str | bool]) -> LaptopAddresses:
    keys = {"store_access_key": secrets.token_hex(10), "store_secret_key": secrets.token_hex(20)}
    return LaptopAddresses.model_validate({**chosen, **keys})


def _label_studio(kept: LaptopAddresses, *, port: int) -> dict[str, str | SecretStr]:
    return {
        "label_studio_url": f"http://127.0.0.1:{port}",
        "label_studio_user": kept.label_studio_user or LABEL_STUDIO_USER,
        "label_studio_password": kept.label_studio_password or SecretStr(secrets.token_urlsafe(PASSWORD_BYTES)),
    }


def _demo(kept: LaptopAddresses, ports: dict[str, int]) -> dict[str, str | SecretStr]:
    return {
        "reader_url": f"http://127.0.0.1:{ports['reader']}",
        "reader_key": kept.reader_key or SecretStr(new_key()),
        "demo_url": f"http://127.0.0.1:{ports['demo']}",
    }


def _ports(last: LaptopAddresses | None) -> dict[str, int]:
    if last is None:
        return {}
    urls = {"store": last.store_url, "prefect": last.prefect_url, "labels": last.label_studio_url}
    urls |= {"worker": last.worker_url, "reader": last.reader_url, "demo": last.demo_url}
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
