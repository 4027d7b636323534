"""What the service keeps of what it was asked: nothing against its caller's will, and no answer waits for it."""

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import bentos
import httpx
import pytest
from asked import captured
from bentos import KEYS, Served
from faults import FaultyServer, faulty
from PIL import Image
from test_service_pictures import LINE, PNG, saved

from loopline.answers import Reading, Thanks
from loopline.captures import CAPTURED, CORRECTION, PICTURE, Corrected, place, tombstone
from loopline.clients.store import Store
from loopline.images import decode
from loopline.keys import hash_of
from loopline.settings import StoreSettings

WAIT_SECONDS = 60
NOT_YOURS = "no such prediction of yours is kept: it is unknown, was deleted, or was not to be kept"
ALWAYS = 10**6


@pytest.fixture(scope="module")
def store(s3_server: StoreSettings) -> Store:
    made = Store(s3_server.model_copy(update={"bucket": "service-captures"}))
    made.ensure_bucket()
    return made


@pytest.fixture(scope="module")
def road(s3_server: StoreSettings) -> Iterator[FaultyServer]:
    """The way from the service to the store."""
    with faulty(s3_server.endpoint, keeps_host=True) as server:
        yield server


@pytest.fixture(scope="module")
def keeping(
    bento: Any, store: Store, road: FaultyServer, s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A service that keeps what it is asked."""
    secret = s3_server.secret_key
    assert s3_server.access_key and secret
    settings = {
        "LOOPLINE_STORE__ENDPOINT": road.url,
        "LOOPLINE_STORE__BUCKET": "service-captures",
        "LOOPLINE_STORE__ACCESS_KEY": s3_server.access_key,
        "LOOPLINE_STORE__SECRET_KEY": secret.get_secret_value(),
        "LOOPLINE_SERVICE__CAPTURE": "true",
        "LOOPLINE_SERVICE__TIMEOUT_SECONDS": "30",
    }
    with bentos.serving(bento, tmp_path_factory.mktemp("keeping"), **bentos.KEYED, **settings) as served:
        yield served


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def asked(served: Served, picture: bytes = PNG, *, key: str = KEYS[0], **headers: str) -> Reading:
    with served.client(key=key, headers=headers) as client:
        answer = client.post("/read", files={"image": picture})
    assert answer.status_code == 200, answer.text
    return Reading.model_validate_json(answer.content)


def corrected(served: Served, prediction_id: str, text: str = "407", *, key: str = KEYS[0]) -> httpx.Response:
    with served.client(key=key) as client:
        return client.post("/correct", json={"prediction_id": prediction_id, "text": text})


def forgotten(served: Served, prediction_id: str, *, key: str = KEYS[0]) -> httpx.Response:
    with served.client(key=key) as client:
        return client.delete(f"/predictions/{prediction_id}")


def test_an_answer_and_its_correction_come_to_the_store(keeping: Served, store: Store) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera-canary"
    reading = asked(keeping, saved(LINE.convert("RGB"), exif=exif))
    answer = corrected(keeping, reading.prediction_id)
    assert answer.status_code == 200, answer.text
    assert Thanks.model_validate_json(answer.content).prediction_id == reading.prediction_id
    record = eventually(lambda: captured(store).get(reading.prediction_id))
    assert (record.text, record.characters) == (reading.text, reading.characters)
    assert reading.model.endswith(record.package_sha256[:12])
    assert hash_of(KEYS[0]).startswith(record.key) and record.key
    picture = store.read(place(reading.prediction_id, PICTURE))
    assert b"canary" not in picture and decode(picture).tobytes() == LINE.tobytes()
    where = place(reading.prediction_id, CORRECTION)
    eventually(lambda: store.exists(where))
    assert Corrected.model_validate_json(store.read(where)).text == "407"


def test_each_answer_of_a_batch_is_kept(keeping: Served, store: Store) -> None:
    with keeping.client() as client:
        sent = [("image", PNG), ("image", b"no picture"), ("image", PNG)]
        readings = client.post("/read_batch", files=sent).json()["readings"]
    ids = {reading["prediction_id"] for reading in readings if "error" not in reading}
    assert len(ids) == 2
    eventually(lambda: ids <= set(captured(store)))


def test_who_says_off_leaves_nothing(keeping: Served, store: Store) -> None:
    reading = asked(keeping, **{"X-Loopline-Capture": "off"})
    later = asked(keeping)
    eventually(lambda: later.prediction_id in captured(store))
    assert not [entry for entry in store.list(CAPTURED) if reading.prediction_id in entry.key]
    answer = corrected(keeping, reading.prediction_id)
    assert (answer.status_code, answer.json()) == (404, {"error": NOT_YOURS})


@pytest.mark.parametrize("ask", [corrected, forgotten], ids=["correct", "delete"])
def test_what_is_unknown_or_anothers_can_be_neither_corrected_nor_deleted(
    keeping: Served, ask: Callable[..., httpx.Response]
) -> None:
    own = asked(keeping).prediction_id
    day, chance, mac = own.split("-")
    flipped = f"{int(mac[0], 16) ^ 1:x}"
    for name in (f"{day}-{chance}-{flipped}{mac[1:]}", f"20200101-{chance}-{mac}", "0" * 32, f"{own}0"):
        answer = ask(keeping, name)
        assert (answer.status_code, answer.json()) == (404, {"error": NOT_YOURS}), name
    stranger = ask(keeping, own, key=KEYS[1])
    assert (stranger.status_code, stranger.json()) == (404, {"error": NOT_YOURS})
    assert ask(keeping, own).is_success


def test_what_was_deleted_is_gone_for_every_process(keeping: Served, store: Store) -> None:
    name = asked(keeping).prediction_id
    deleted = forgotten(keeping, name)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert {corrected(keeping, name).status_code for _ in range(8)} == {404}
    assert forgotten(keeping, name).status_code == 404
    eventually(lambda: store.exists(tombstone(name)))


@pytest.mark.parametrize("text", ["4\n07", "4\x0007", "\x1b[31m407", "407\u2028", "4" * 2001, "\x7f"])
def test_a_text_that_nobody_writes_is_refused(keeping: Served, text: str) -> None:
    answer = corrected(keeping, asked(keeping).prediction_id, text)
    assert answer.status_code == 422 and answer.json()["error"].startswith("text: ")


def test_nobody_notices_that_the_store_is_down(keeping: Served, store: Store, road: FaultyServer) -> None:
    road.will("PUT", "/", "down", times=ALWAYS, status=503)
    try:
        names = {asked(keeping).prediction_id for _ in range(10)}
        assert corrected(keeping, min(names)).status_code == 200
        eventually(lambda: [request for request in road.seen if request.startswith("PUT")])
        assert not names & set(captured(store))
        with keeping.client() as client:
            numbers = client.get("/metrics").text
        assert "\nloopline_lost 0.0\n" in numbers and "\nloopline_spooled_bytes" in numbers
    finally:
        road.faults.clear()
    eventually(lambda: names <= set(captured(store)))
    eventually(lambda: store.exists(place(min(names), CORRECTION)))


def test_no_secret_and_no_user_stands_in_the_log(keeping: Served, s3_server: StoreSettings) -> None:
    secret = s3_server.secret_key
    assert secret
    written = keeping.log.read_text()
    assert not [word for word in (*KEYS, secret.get_secret_value(), '"407"') if word in written]


def test_a_large_picture_is_kept_too(keeping: Served, store: Store) -> None:
    body = io.BytesIO()
    Image.new("L", (6000, 5000), 255).save(body, "PNG")
    name = asked(keeping, body.getvalue()).prediction_id
    assert eventually(lambda: captured(store).get(name)).width_px == 6000
