"""Who may ask the service: those with a key, as often as it allows, and nobody by any other way."""

import time
from typing import Any

import bentos
import httpx
import pytest
from bentos import KEYS, Served
from typer.testing import CliRunner

from loopline.cli import app
from loopline.keys import hash_of, known

PER_MINUTE = 600
ROUTES = {
    *{("POST", "/read"), ("POST", "/read_batch"), ("POST", "/correct"), ("DELETE", "/predictions/{prediction_id}")},
    *{("GET", "/model"), ("GET", "/metrics")},
}
BENTOML_PAGES = ("/", "/docs.json", "/schema.json", "/static_content/swagger-ui.css", "/openapi.json/", "//read")


@pytest.fixture(scope="module")
def routes(reader: Served) -> set[tuple[str, str]]:
    with reader.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": KEYS[0]},
        {"Authorization": f"Basic {KEYS[0]}"},
        {"Authorization": f"Bearer {KEYS[0]}x"},
        {"Authorization": f"Bearer {KEYS[0][:-1]}"},
        {"Authorization": f"Bearer {hash_of(KEYS[0])}"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer wrong", "X-Api-Key": KEYS[0]},
        {"X-Api-Key": "wrong"},
        {"Cookie": f"key={KEYS[0]}"},
    ],
    ids=lambda headers: ascii(headers)[:50],
)
def test_without_a_key_there_is_no_route(reader: Served, routes: set[tuple[str, str]], headers: dict[str, Any]) -> None:
    assert routes == ROUTES
    others = {("GET", path) for path in ("/openapi.json", "/nowhere", *BENTOML_PAGES)}
    with reader.client(key=None) as client:
        for method, path in routes | others:
            answer = client.request(method, path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
            assert answer.json() == {"error": "send your key in the header Authorization: Bearer, or X-Api-Key"}


@pytest.mark.parametrize("name", ["key", "api_key", "token", "access_token", "X-Api-Key", "Authorization"])
def test_a_key_in_the_address_is_none(reader: Served, name: str) -> None:
    with reader.client(key=None, params={name: KEYS[0]}) as client:
        assert client.get("/model").status_code == 401


@pytest.mark.parametrize("path", BENTOML_PAGES)
def test_bentomls_own_pages_are_nowhere(reader: Served, path: str) -> None:
    with reader.client() as client:
        answer = client.get(path)
    assert (answer.status_code, set(answer.json())) == (404, {"error"})


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_is_open_and_says_nothing(reader: Served, path: str) -> None:
    with reader.client(key=None) as client:
        answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, "\n")


@pytest.mark.parametrize("key", KEYS[:2])
@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "authorization: bearer {}", "X-Api-Key: {}"])
def test_every_key_opens_in_either_header(reader: Served, key: str, header: str) -> None:
    name, _, value = header.format(key).partition(": ")
    with reader.client(key=None, headers={name: value}) as client:
        assert client.get("/model").status_code == 200


def test_answers_are_for_their_caller_alone_and_no_script(reader: Served) -> None:
    with reader.client(headers={"Origin": "https://evil.example"}) as client:
        for answer in (client.get("/model"), client.get("/nowhere"), client.get("/livez")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert not [name for name in answer.headers if name.startswith("access-control")]
        asked = {"Access-Control-Request-Method": "POST", "Authorization": ""}
        assert client.options("/read", headers=asked).status_code == 401


def test_a_key_that_asks_too_often_waits_and_no_other_does(reader: Served) -> None:
    """Connections alternate between the processes, which therefore must count together."""
    key, start, count = KEYS[1], time.monotonic(), 0
    clients = [reader.client(key=key) for _ in range(8)]
    while (answer := clients[count % 8].get("/openapi.json")).status_code == 200:
        count += 1
    refilled = (time.monotonic() - start) * PER_MINUTE / 60
    assert answer.status_code == 429, answer.text
    assert PER_MINUTE - 10 <= count <= PER_MINUTE + refilled + 1
    assert answer.json() == {"error": f"this key may ask {PER_MINUTE} times a minute"}
    assert int(answer.headers["retry-after"]) >= 1
    with reader.client() as other:
        assert other.get("/model").status_code == 200
    time.sleep(int(answer.headers["retry-after"]))
    assert clients[0].get("/model").status_code == 200
    for client in clients:
        client.close()


def test_each_picture_of_a_batch_counts(reader: Served) -> None:
    pictures = [("image", b"no picture")] * 32
    statuses = []
    with reader.client(key=KEYS[2]) as client:
        while not statuses or statuses[-1] == 200:
            statuses.append(client.post("/read_batch", files=pictures).status_code)
    assert statuses[-1] == 429
    assert PER_MINUTE // 32 <= len(statuses) < PER_MINUTE // 4


def test_a_made_key_is_known_by_its_hash() -> None:
    done = CliRunner().invoke(app, ["key"])
    made = dict(line.split() for line in done.output.splitlines())
    assert known(made["key"], [hash_of("other"), made["hash"]]) == made["hash"]
    assert known(made["key"], [hash_of("other")]) is None
    assert len(made["key"]) > 40
    assert CliRunner().invoke(app, ["key"]).output != done.output


def test_keys_that_no_header_can_hold_are_unknown() -> None:
    assert known("\udcff", [hash_of(KEYS[0])]) is None


def test_a_body_is_not_waited_for_without_a_key(reader: Served) -> None:
    address = httpx.URL(reader.url)
    with bentos.connection(address) as asked:
        asked.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 300000000\r\n\r\n")
        answer = bentos.received(asked)
    assert answer.startswith(b"HTTP/1.1 401") and b"connection: close" in answer.lower()
