"""What `loopline doctor` says of a machine in order, and of each thing that is not: real stores and registries."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from laptop_processes import LOOPLINE
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from pydantic import SecretStr

from loopline import doctor
from loopline.clients.store import Store
from loopline.errors import AccessError, ConfigError, FinalError, LooplineError, UnreachableError
from loopline.settings import CometSettings, RegistrySettings, Settings, StoreSettings, TrainSettings


@pytest.fixture
def settings(s3_server: StoreSettings, tmp_path: Path) -> Settings:
    store = s3_server.model_copy(update={"bucket": "doctor"})
    Store(store).ensure_bucket()
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    (tmp_path / "home").mkdir(mode=0o700)
    registry = RegistrySettings(url=str(tmp_path / "registry.git"))
    return Settings(home=tmp_path / "home", store=store, registry=registry, _env_file=None)


def wrong(settings: Settings) -> dict[str, str]:
    return {found.name: found.said for found in doctor.examine(settings) if not found.well}


def test_where_all_is_well_nothing_is_left_behind(settings: Settings) -> None:
    found = {one.name: one.said for one in doctor.examine(settings)}
    assert "can be written, read, listed and deleted from" in found["store"]
    assert re.fullmatch(r"within \d s of the store's", found["clock"]) and found["comet"] == "not in use"
    assert wrong(settings).keys() <= {"rights"}, "other tests' buckets are on the same server"
    assert list(Store(settings.resolved_store()).list("")) == []
    assert list(settings.folder.glob("[!c]*")) == [], "but for the cache"


def test_a_home_that_others_can_read_and_a_full_disk_are_named(settings: Settings) -> None:
    settings.folder.chmod(0o755)
    assert f"chmod 700 {settings.folder}" in wrong(settings)["home"]
    with pytest.raises(FinalError, match=r"GB are free at .*, 1000000000 GB are wanted; delete .*cache, or more"):
        doctor.disk(settings, least_bytes=1e18)


def test_keys_that_the_store_does_not_know_are_named_by_what_they_may_not(settings: Settings) -> None:
    bad = settings.store.model_copy(update={"secret_key": SecretStr("wrong")})
    found = wrong(settings.model_copy(update={"store": bad}))
    assert (
        found["store"].startswith("the store does not let us write: ")
        and "LOOPLINE_STORE__SECRET_KEY" in found["store"]
    )
    silent = settings.store.model_copy(update={"bucket": "nowhere"})
    with pytest.raises(LooplineError, match="nowhere"):
        doctor.quick(settings.model_copy(update={"store": silent}))


def test_keys_that_see_more_than_their_bucket_are_too_much(settings: Settings) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        store = StoreSettings(
            endpoint=f"http://{host}:{port}", bucket="ours", access_key="a", secret_key=SecretStr("b")
        )
        Store(store).ensure_bucket()
        with_one = settings.model_copy(update={"store": store})
        assert "rights" not in wrong(with_one)
        Store(store.model_copy(update={"bucket": "payroll"})).ensure_bucket()
        assert "may list 1 more buckets, such as payroll" in wrong(with_one)["rights"]
        doctor.quick(with_one)
    finally:
        server.stop()


@contextmanager
def answering(status: int, headers: dict[str, str] | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_clock_that_is_off_is_named_before_signatures_are_refused(settings: Settings) -> None:
    with answering(200, {"Date": "Mon, 02 Nov 2026 10:00:00 GMT"}) as url:
        store = settings.store.model_copy(update={"endpoint": url})
        with pytest.raises(FinalError, match=r"this machine's clock is \+\d+ s from the store's; set it"):
            doctor.clock(settings.model_copy(update={"store": store}))


def test_comet_is_asked_whether_it_knows_the_key(settings: Settings) -> None:
    """Before a stand-in for Comet's own server."""

    def with_comet(url: str) -> Settings:
        key = SecretStr("very-secret")
        return settings.model_copy(update={"comet": CometSettings(mode="online", api_key=key, url=url)})

    with answering(401) as url, pytest.raises(AccessError, match="does not know the key") as refused:
        doctor.comet(with_comet(url))
    assert "very-secret" not in str(refused.value)
    with answering(200) as url:
        assert doctor.comet(with_comet(url)) == f"{url} knows the key"
    with pytest.raises(UnreachableError, match="archives wait"):
        doctor.comet(with_comet("http://127.0.0.1:9"))


def test_a_registry_that_lets_nobody_in_or_push_is_named(settings: Settings, tmp_path: Path) -> None:
    missing = settings.model_copy(update={"registry": RegistrySettings(url="file:///nowhere.git")})
    assert "refused git" in wrong(missing)["registry"]


def test_a_gpu_that_is_asked_for_and_not_there_is_named(settings: Settings) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here; this runs wherever there is none")
    with pytest.raises(ConfigError, match=r"no GPU can be used: .* LOOPLINE_TRAIN__ACCELERATOR=cpu"):
        doctor.gpu(settings.model_copy(update={"train": TrainSettings(accelerator="gpu")}))


def test_the_command_says_it_all_and_fails_where_something_is_wrong(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOPLINE_")}
    environment |= {"LOOPLINE_HOME": str(tmp_path / "home")}
    done = subprocess.run([LOOPLINE, "doctor"], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == ""
    assert "WRONG  store         no services were started in" in done.stdout and "run `loopline up`" in done.stdout
    assert not (tmp_path / "home").exists(), "looking makes nothing"
