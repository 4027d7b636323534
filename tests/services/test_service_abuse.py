"""What strangers send: too much, too slowly, in other forms, or addresses that they want fetched."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bentos
import httpx
import pytest
from bentos import KEYS, Served

MOST_MB = 2  # as the reader is served
RSS_RISE = 30 * 2**20
FORM = {"content-type": "multipart/form-data; boundary=x"}
HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEYS[0].encode() + b"\r\nContent-Type: image/png\r\n"
TOO_LARGE = {"error": f"a request here may have {MOST_MB} MB"}
NOT_FILES = {"error": "send pictures as files named `image`; texts and addresses are not taken"}


def test_a_huge_body_is_cut_off_and_never_held(reader: Served) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 300_000_000:
            sent += 2**16
            yield bytes(2**16)

    before = sum(worker.memory_info().rss for worker in reader.workers())
    with reader.client(headers={"content-type": "image/png"}) as client:
        declared = client.post("/read", content=bytes(3_000_000))
        streamed = client.post("/read", content=endless())
        again = client.get("/model")
    assert (declared.status_code, declared.json()) == (413, TOO_LARGE)
    assert (streamed.status_code, streamed.json()) == (413, TOO_LARGE)
    assert sent < 100_000_000
    assert sum(worker.memory_info().rss for worker in reader.workers()) - before < RSS_RISE
    assert again.status_code == 200


def test_a_body_that_declares_too_much_is_not_waited_for(reader: Served) -> None:
    with bentos.connection(httpx.URL(reader.url)) as asked:
        asked.sendall(HEAD % b"/read" + b"Content-Length: 300000000\r\n\r\n")
        answer = bentos.received(asked)
    assert answer.startswith(b"HTTP/1.1 413") and b"connection: close" in answer.lower()


def test_chunks_without_a_length_are_a_body_like_any_other(reader: Served) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"no "
        yield b"picture"

    with reader.client(headers={"content-type": "image/png"}) as client:
        answer = client.post("/read", content=chunks())
        endless = client.post("/model", content=chunks())
    assert answer.json() == {"error": "the picture can't be read: not a PNG, JPEG, WEBP or TIFF image"}
    assert endless.status_code == 405


@pytest.mark.parametrize("path", ["/read", "/read_batch"])
@pytest.mark.parametrize("part", ['name="image"; filename="a"', 'name="image"', 'name="x"; filename="a"', 'name="x"'])
def test_ten_thousand_parts_are_refused_at_once(reader: Served, path: str, part: str) -> None:
    body = "".join(f"--x\r\nContent-Disposition: form-data; {part}\r\n\r\n1\r\n" for _ in range(10_000)) + "--x--\r\n"
    with reader.client() as client:
        answer = client.post(path, content=body.encode(), headers=FORM)
    assert (answer.status_code, set(answer.json())) == (400, {"error"})
    assert "Too many" in answer.json()["error"]


@pytest.mark.parametrize(
    "sent", [b"", b"\x89PNG", b"\x89PNG" + bytes(1000)], ids=["nothing", "a little", "a little more"]
)
@pytest.mark.parametrize("length", [b"Content-Length: 9000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\n"])
def test_a_body_that_does_not_arrive_ends_the_visit(reader: Served, sent: bytes, length: bytes) -> None:
    with bentos.connection(httpx.URL(reader.url)) as asked:
        asked.sendall(HEAD % b"/read" + length + sent[:4])
        answer = bentos.received(asked)
    assert answer.startswith(b"HTTP/1.1 408") and b"the request did not arrive within 3 s" in answer
    assert b"connection: close" in answer.lower()


def test_a_body_that_drips_ends_the_visit_too(reader: Served) -> None:
    start = time.monotonic()
    with bentos.connection(httpx.URL(reader.url)) as asked:
        asked.sendall(HEAD % b"/read" + b"Content-Length: 9000\r\n\r\n")
        with pytest.raises(OSError):
            while time.monotonic() - start < 60:
                asked.sendall(b"x")
                time.sleep(0.1)
    assert time.monotonic() - start < 60


def test_many_slow_bodies_hold_up_nobody(reader: Served) -> None:
    slow = [bentos.connection(httpx.URL(reader.url)) for _ in range(100)]
    for asked in slow:
        asked.sendall(HEAD % b"/read" + b"Content-Length: 9000\r\n\r\n")
    with reader.client() as client:
        assert client.get("/model").status_code == 200
    for asked in slow:
        asked.close()


ADDRESSES = [
    "http://127.0.0.1:{port}/line.png",
    "http://localhost:{port}/line.png",
    "http://[::ffff:127.0.0.1]:{port}/line.png",
    "http://0.0.0.0:{port}/",
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://100.64.0.1/",
    "file:///etc/hostname",
    "data:image/png;base64,iVBORw0KGgo=",
    "s3://bucket/line.png",
]


@pytest.fixture
def canary() -> Iterator[tuple[int, list[object]]]:
    """A listener on the loopback; its port, and who came."""
    visits: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    visits.append(listener.accept())
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        yield listener.getsockname()[1], visits
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_no_picture_and_is_not_fetched(
    reader: Served, canary: tuple[int, list[object]], address: str
) -> None:
    port, visits = canary
    url = address.format(port=port)
    with reader.client() as client:
        for path in ("/read", "/read_batch"):
            field = client.post(path, data={"image": url}, files={"other": b""})
            assert (field.status_code, field.json()) == (400, NOT_FILES)
            mixed = client.post(path, data={"image": url}, files={"image": b""})
            assert (mixed.status_code, mixed.json()) == (400, NOT_FILES)
            assert client.post(path, data={"image": url}).status_code == 415
            assert client.post(path, json={"image": url}).status_code == 415
            named = client.post(path, files={"image": (url, b"x")})
            assert "not a PNG" in named.text
    assert visits == []


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"files": {"other": b"the wrong field"}}, 400),
        ({"files": [("image", b"one"), ("image", b"two")]}, 400),
        ({"files": [("image", b"one"), ("other", b"two")]}, 400),
        ({"content": b"--x\r\nnonsense", "headers": FORM}, 400),
        ({"content": b"", "headers": FORM}, 400),
        ({"content": b"--x--\r\n", "headers": FORM}, 400),
        ({"content": b"--x\r\n\r\n\r\n--x--", "headers": FORM}, 400),
        ({"content": b"--x\r\n", "headers": {"content-type": FORM["content-type"] + "; charset=none-such"}}, 400),
        ({"content": b"no boundary", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"no boundary", "headers": {"content-type": "multipart/form-data; boundary="}}, 400),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=" + "b" * 5000}}, 400),
        ({"content": b"cposix\nsystem\n", "headers": {"content-type": "application/vnd.bentoml+pickle"}}, 415),
        ({"content": b"cposix\nsystem\n", "headers": {"Payload-Container": "NumpyNdarray"}}, 415),
        ({"content": b"x", "headers": {"content-type": "application/octet-stream"}}, 415),
        ({"content": b"x", "headers": {"content-type": ""}}, 415),
        ({"content": b"x"}, 415),
        ({}, 415),
    ],
    ids=str,
)
def test_what_is_no_upload_is_refused_with_a_sentence(reader: Served, form: dict[str, Any], status: int) -> None:
    with reader.client() as client:
        answer = client.post("/read", **form)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "the body"),
        (b"{", "not JSON"),
        (b"null", "the body"),
        (b"[" * 60_000, "parsing the body"),
        (b'{"prediction_id": ' * 3000, "parsing the body"),
        (b'{"prediction_id": 7, "text": 7}', "prediction_id"),
        (b'{"prediction_id": "../../../../etc/passwd", "text": "1"}', "prediction_id"),
        (b'{"prediction_id": "0199f3a2c4d07f00a1b2c3d4e5f60718", "text": "\\ud800"}', "text"),
        (b'{"prediction_id": "0199f3a2c4d07f00a1b2c3d4e5f60718", "text": "1", "\\ud800": 1}', "the body"),
        (b'{"prediction_id": "0199f3a2c4d07f00a1b2c3d4e5f60718", "text": "1", "other": 1}', "a field is unknown"),
        (b'{"prediction_id": "0199f3a2c4d07f00a1b2c3d4e5f60718", "text": "%s"}' % (b"x" * 2001), "text"),
        (b'{"prediction_id": "0199f3a2c4d07f00a1b2c3d4e5f60718", "text": "1", "note": "%s"}' % (b"x" * 501), "note"),
        (b"\xff\xfe\x00", "parsing the body"),
        (b'{"text": NaN}', ""),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_correction_of_another_form_is_refused_with_a_sentence(reader: Served, body: bytes, word: str) -> None:
    with reader.client(headers={"content-type": "application/json"}) as client:
        answer = client.post("/correct", content=body)
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()) == {"error"} and word in answer.json()["error"]
    assert "passwd" not in answer.text


def test_a_correction_has_no_room_for_pictures(reader: Served) -> None:
    with reader.client() as client:
        answer = client.post("/correct", content=bytes(70_000), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (413, {"error": "a request here may have 0.065536 MB"})


@pytest.mark.parametrize(
    "head",
    [
        b"GET /model HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /model HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET /model HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["long header", "many headers", "long address", "TLS", "two lengths", "negative", "contradiction", "socket"],
)
def test_what_is_hardly_http_ends_the_connection_only(reader: Served, head: bytes) -> None:
    with bentos.connection(httpx.URL(reader.url)) as asked:
        try:
            asked.sendall(head)
            answer = bentos.received(asked)
        except ConnectionError:
            answer = b""
    assert re.match(rb"HTTP/1.1 4\d\d|$", answer), answer
    assert b"Traceback" not in answer
    with reader.client() as client:
        assert client.get("/model").status_code == 200


def test_whatever_is_generated_from_its_description_is_answered_as_described(reader: Served, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{reader.url}/openapi.json", "--seed", "1"]
    # Not every string of bytes is a picture, which is all that a description can ask for.
    checks = ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--suppress-health-check", "all"]
    options = ["-H", f"Authorization: Bearer {KEYS[3]}", "--max-examples", "40", "--rate-limit", "auto"]
    done = subprocess.run(
        [*command, *checks, *options, "--warnings", "off"],
        cwd=tmp_path,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert not [line for line in reader.lines() if line.get("status") == 500]
