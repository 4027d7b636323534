"""Functions deployed through a server that speaks the API of Nuclio's dashboard, and what comes of its no."""

import hashlib
import io
import urllib.request
import zipfile
from collections.abc import Iterator

import packages
import pytest
import report_samples
from bentos import KEYS
from nuclio_dashboard import DashboardStandIn, dashboard

from loopline.clients.nuclio import Dashboard
from loopline.clients.store import Store
from loopline.contracts import PackagedModel
from loopline.errors import AccessError, ConfigError, FinalError, IntegrityError, UnreachableError
from loopline.keys import hash_of
from loopline.nuclio_target import NuclioTarget
from loopline.problems import load_problem
from loopline.settings import ServiceSettings, Settings, StoreSettings
from loopline.target_settings import NuclioSettings

TOKEN, KEY = "canary-token-of-the-dashboard", KEYS[0]
DECODINGS = load_problem("handwriting").decodings()


@pytest.fixture
def board() -> Iterator[DashboardStandIn]:
    with dashboard() as stands:
        stands.token = TOKEN
        yield stands


def settings(board: DashboardStandIn, store: StoreSettings, **changed: object) -> Settings:
    nuclio = {"url": board.url, "token": TOKEN, "key": KEY, "host": "read.example.com", "project": "lines"}
    return Settings(
        store=store,
        service=ServiceSettings(key_hashes=hash_of(KEY)),
        nuclio=NuclioSettings.model_validate({**nuclio, **changed}),
        _env_file=None,
    )


def stored(store: Store, number: int = 0) -> PackagedModel:
    """A package in the store, one for each decoding."""
    archive = store.publish(packages.package(DECODINGS[number]), "packages", suffix=".zip")
    changed = {"archive": archive, "bento_tag": f"handwriting:v{number}"}
    return report_samples.packaged().model_copy(update=changed)


@pytest.fixture
def server(s3_server: StoreSettings) -> StoreSettings:
    Store(s3_server).ensure_bucket()
    return s3_server


def test_what_the_dashboard_is_asked_for(board: DashboardStandIn, server: StoreSettings) -> None:
    packaged = stored(Store(server))
    NuclioTarget(settings(board, server)).deploy(packaged)
    (made,) = [one for one in board.asked if one.method != "GET"]
    assert (made.method, made.path) == ("POST", "/api/functions")
    assert made.headers["X-Nuclio-Project-Name"] == "lines"
    metadata, spec = made.body["metadata"], made.body["spec"]
    assert metadata["name"] == f"handwriting-{packaged.archive.sha256[:12]}"
    assert metadata["labels"]["nuclio.io/project-name"] == "lines"
    assert spec["handler"] == "handler:handler" and spec["runtime"].startswith("python:3.")
    assert spec["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}
    trigger = spec["triggers"]["http"]
    assert (trigger["numWorkers"], trigger["attributes"]["maxRequestBodySize"]) == (2, 16_000_000)
    assert {"name": "LOOPLINE_SERVICE__KEY_HASHES", "value": hash_of(KEY)} in spec["env"]
    assert not [secret for secret in (TOKEN, KEY, str(server.secret_key)) if secret in str(made.body)]
    with urllib.request.urlopen(spec["build"]["path"]) as code:
        package = zipfile.ZipFile(io.BytesIO(code.read())).read("package.zip")
    assert spec["build"]["codeEntryType"] == "archive"
    assert hashlib.sha256(package).hexdigest() == packaged.archive.sha256


def test_the_gateway_leads_to_one_model_and_back_to_the_one_before(
    board: DashboardStandIn, server: StoreSettings
) -> None:
    place, models = NuclioTarget(settings(board, server)), [stored(Store(server), number) for number in range(3)]
    assert (place.standing(), place.ready()) == (None, None)
    for model in models:
        place.deploy(model)
        place.promote(model)
        place.promote(model)  # repeated after a kill
    assert (place.standing(), place.ready()) == ("handwriting:v2", "handwriting:v1")
    assert len(board.functions) == 2, "the one before the one before is gone"
    place.roll_back()
    assert (place.standing(), place.ready()) == ("handwriting:v1", None)
    with pytest.raises(ConfigError, match="no version stands ready at Nuclio"):
        place.roll_back()


def test_a_candidate_that_fails_leaves_nothing_behind(board: DashboardStandIn, server: StoreSettings) -> None:
    place, (good, bad) = NuclioTarget(settings(board, server)), (stored(Store(server), number) for number in range(2))
    place.deploy(good)
    place.promote(good)
    board.fails = "Step 5/9: pip ended with 1\nno matching distribution found for numpy==9"
    with pytest.raises(FinalError, match=r"could not start handwriting-\w+: no matching distribution found"):
        place.deploy(bad)
    place.withdraw()
    assert (place.standing(), len(board.functions)) == ("handwriting:v0", 1)


def test_an_altered_package_reaches_no_dashboard(board: DashboardStandIn, server: StoreSettings) -> None:
    store = Store(server)
    packaged = stored(store)
    store.write(packaged.archive.uri, b"another model's")
    with pytest.raises(IntegrityError, match="restore it"):
        NuclioTarget(settings(board, server)).deploy(packaged)
    assert board.changes() == []
    store.delete(packaged.archive.uri)


def test_what_stands_in_the_way_is_said(board: DashboardStandIn, server: StoreSettings) -> None:
    packaged = stored(Store(server))
    with pytest.raises(ConfigError, match="set LOOPLINE_NUCLIO__URL"):
        NuclioTarget(settings(board, server, url=None))
    with pytest.raises(AccessError, match=r"says 401 .* set LOOPLINE_NUCLIO__TOKEN"):
        NuclioTarget(settings(board, server, token="wrong")).deploy(packaged)
    place = NuclioTarget(settings(board, server, host=""))
    place.deploy(packaged)
    with pytest.raises(ConfigError, match="set LOOPLINE_NUCLIO__HOST"):
        place.promote(packaged)
    with pytest.raises(UnreachableError, match=r"127.0.0.1:9 can't be reached"):
        Dashboard(NuclioSettings(url="http://127.0.0.1:9")).functions()
