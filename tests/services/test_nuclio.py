"""A package as a function in Nuclio's own Python wrapper: it answers as the Bento does, and refuses as the Bento does.

The wrapper is not ours to keep: NUCLIO_PYTHON_WRAPPER_PATH says where `_nuclio_wrapper.py` of Nuclio's repository lies.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bentos
import httpx
import pytest
import report_samples
import yaml
from bentos import KEYED, KEYS, Served
from nuclio_processor import WRAPPER, StartError, fronted, wrapped
from PIL import Image
from test_service_pictures import LINE, saved

from loopline.client import Client
from loopline.contracts import Artifact, PackagedModel
from loopline.errors import ConfigError, IntegrityError
from loopline.functions import function_files, write_function
from loopline.keys import hash_of
from loopline.problems.handwriting.samples import draw_lines
from loopline.settings import ServiceSettings, Settings

LIMITS = {"LOOPLINE_SERVICE__MOST_MB": "1", "LOOPLINE_SERVICE__MOST_BATCH": "8"}
PNG = saved(LINE)

wrapper = pytest.mark.skipif(not WRAPPER, reason="NUCLIO_PYTHON_WRAPPER_PATH does not say where Nuclio's wrapper lies")


def packaged(archive: bytes) -> PackagedModel:
    artifact = Artifact(sha256=hashlib.sha256(archive).hexdigest(), size_bytes=len(archive), uri="package.zip")
    return report_samples.packaged().model_copy(update={"archive": artifact, "bento_tag": "handwriting:v1"})


def files(archive: bytes, service: ServiceSettings | None = None) -> dict[str, bytes]:
    service = service or ServiceSettings(key_hashes=hash_of(KEYS[0]), most_mb=1, most_batch=8)
    return function_files(archive, packaged(archive), settings=Settings(service=service))


def environment(described: dict[str, bytes]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in yaml.safe_load(described["function.yaml"])["spec"]["env"]}


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, sockets = tmp_path_factory.mktemp("function"), tmp_path_factory.mktemp("s")
    written = files(bentos.archive())
    write_function(written, folder)
    with wrapped(folder, environment(written), sockets=sockets) as worker, fronted(worker) as address:
        yield f"http://{address}"


@pytest.fixture(scope="module")
def beside(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with bentos.serving(bento, tmp_path_factory.mktemp("beside"), workers=1, **KEYED, **LIMITS) as served:
        yield served


def told(answer: Any) -> dict[str, Any]:
    return dict(answer.model_dump(exclude={"prediction_id"}))


@wrapper
def test_it_answers_sample_lines_as_the_bento_does(function: str, beside: Served) -> None:
    lines = [saved(Image.fromarray(line.pixels)) for line in draw_lines(seed=7, counts={"test": 6})]
    with Client(function, KEYS[0]) as ours, Client(beside.url, KEYS[0]) as theirs:
        assert ours.model() == theirs.model()
        assert [told(ours.read(line)) for line in lines] == [told(theirs.read(line)) for line in lines]
        batch = [*lines, b"no picture"]
        assert list(map(told, ours.read_batch(batch))) == list(map(told, theirs.read_batch(batch)))


@wrapper
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("POST", "/read", {"content": b"no picture", "headers": {"Content-Type": "image/png"}}), 400),
        (("POST", "/read", {"content": PNG[:200], "headers": {"Content-Type": "image/png"}}), 400),
        (("POST", "/read", {"content": b"text", "headers": {"Content-Type": "text/plain"}}), 415),
        (("POST", "/read", {"content": b"0" * 1_100_000, "headers": {"Content-Type": "image/png"}}), 413),
        (("POST", "/read_batch", {"files": [("image", PNG)] * 9}), 400),
        (("POST", "/read", {"files": [("image", PNG)], "headers": {"Authorization": "Bearer nobody"}}), 401),
        (("GET", "/etc/passwd", {}), 404),
        (("POST", "/correct", {"json": {"prediction_id": "0" * 20, "text": "12"}}), 409),
        (("POST", "/correct", {"json": {"text": 12}}), 422),
        (("POST", "/correct", {"content": b"{", "headers": {"Content-Type": "application/json"}}), 422),
    ],
)
def test_it_refuses_with_the_bentos_own_sentence(
    function: str, beside: Served, request_: tuple[str, str, dict[str, Any]], status: int
) -> None:
    method, path, content = request_
    answers = []
    for url in (function, beside.url):
        headers = {"Authorization": f"Bearer {KEYS[0]}"} | content.get("headers", {})
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            answers.append(client.request(method, path, **{**content, "headers": headers}))
    assert answers[0].status_code == status and "Traceback" not in answers[0].text
    assert answers[0].json() == answers[1].json()


@wrapper
def test_an_altered_package_does_not_start(tmp_path: Path) -> None:
    written = files(bentos.archive())
    write_function(written | {"package.zip": written["package.zip"] + b"!"}, tmp_path / "function")
    (tmp_path / "s").mkdir()
    with (
        pytest.raises(StartError, match=r"instead of .* it was altered or is another model's"),
        wrapped(tmp_path / "function", environment(written), sockets=tmp_path / "s"),
    ):
        pass


def test_an_altered_package_is_not_made_a_function() -> None:
    good = bentos.archive()
    with pytest.raises(IntegrityError, match="it was altered, so fetch it from the registry again"):
        function_files(good + b"!", packaged(good), settings=Settings())


def test_a_function_that_nobody_may_ask_is_not_made() -> None:
    with pytest.raises(ConfigError, match="nobody may ask this function: set LOOPLINE_SERVICE__KEY_HASHES"):
        files(bentos.archive(), ServiceSettings())
