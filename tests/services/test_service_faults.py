"""What happens to the service, and what those who ask it see of that: overload, killed processes, an ordered end."""

import io
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import bentos
import httpx
import pytest
from bentos import Served
from PIL import Image
from test_service_pictures import PNG

MOST_WAITING = 4
ORIGIN = "https://app.example"
WAIT_SECONDS = 120
RETRIED = {429, 503}


@pytest.fixture(scope="module")
def hardy(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that lets few pictures wait, as in a container; what happens to it here happens in this order."""
    settings = {
        "BENTOML_CONTAINERIZED": "true",
        "LOOPLINE_SERVICE__MOST_WAITING": str(MOST_WAITING),
        "LOOPLINE_SERVICE__TIMEOUT_SECONDS": "50",
        "LOOPLINE_SERVICE__CORS_ORIGINS": f"{ORIGIN}, https://other.example",
        "LOOPLINE_SERVICE__LEAST_CONFIDENCE": "0",
    }
    with bentos.serving(bento, tmp_path_factory.mktemp("hardy"), **bentos.OPEN, **settings) as served:
        yield served


def slow_picture() -> bytes:
    """Return a small file that takes long to decode."""
    body = io.BytesIO()
    Image.new("L", (8000, 4900), 255).save(body, "PNG")
    return body.getvalue()


SLOW = slow_picture()


def asked(served: Served, picture: bytes) -> int:
    """Send a picture on a connection of its own; return the status."""
    with served.client(key=None) as client:
        return client.post("/read", files={"image": picture}, timeout=WAIT_SECONDS).status_code


def eventually(look: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def begin(served: Served) -> socket.socket:
    """Ask on a connection of its own, and return it when the service waits for the picture SLOW."""
    connected = bentos.connection(httpx.URL(served.url))
    head = f"Host: test\r\nContent-Type: image/png\r\nContent-Length: {len(SLOW)}\r\nConnection: close\r\n"
    connected.sendall(f"POST /read HTTP/1.1\r\n{head}Expect: 100-continue\r\n\r\n".encode())
    assert connected.recv(2**16) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connected


def waiting(served: Served) -> float:
    with served.client(key=None) as client:
        (line,) = [one for one in client.get("/metrics").text.splitlines() if one.startswith("loopline_waiting ")]
    return float(line.split()[1])


def test_an_open_service_answers_without_a_key_and_marks_as_unsure_what_it_was_told(hardy: Served) -> None:
    with hardy.client(key=None) as client:
        answer = client.post("/read", files={"image": PNG})
    assert (answer.status_code, answer.json()["unsure"]) == (200, False)


def test_pages_of_the_origins_that_are_set_may_ask(hardy: Served) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with hardy.client(key=None) as client:
        before = client.options("/read", headers={"Origin": ORIGIN} | asks)
        answer = client.get("/model", headers={"Origin": ORIGIN})
        refused = client.get("/nowhere", headers={"Origin": ORIGIN})
        stranger = client.options("/read", headers={"Origin": "https://evil.example"} | asks)
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert answer.headers["access-control-allow-origin"] == refused.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in before.headers
    assert stranger.status_code == 400 and "access-control-allow-origin" not in stranger.headers


def test_a_crowd_on_kept_connections_is_sent_on_and_a_lone_caller_is_not(hardy: Served) -> None:
    """One process may have all connections: some callers connect again, and an idle process takes them."""

    def ask(_: int) -> int:
        with hardy.client(key=None) as client:
            answers = [client.post("/read", files={"image": PNG}) for _ in range(60)]
        return sum(answer.headers.get("connection") == "close" for answer in answers)

    assert ask(0) == 0
    with ThreadPoolExecutor(6) as crowd:
        assert sum(crowd.map(ask, range(6))) > 0


def test_too_many_at_once_are_told_to_wait_and_all_others_are_answered(hardy: Served) -> None:
    def ask(number: int) -> httpx.Response:
        with hardy.client(key=None) as client:
            return client.post("/read", files={"image": SLOW if number % 8 == 0 else PNG}, timeout=WAIT_SECONDS)

    with ThreadPoolExecutor(48) as crowd:
        answers = list(crowd.map(ask, range(240)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 503)
    assert waiting(hardy) == 0
    assert asked(hardy, PNG) == 200


def test_a_killed_process_is_missed_by_nobody_else_and_comes_back(hardy: Served) -> None:
    doomed, *others = hardy.workers()
    killed = Event()

    def ask_on() -> None:
        while not killed.is_set():
            asked(hardy, SLOW)

    with ThreadPoolExecutor(4) as crowd:
        last = [crowd.submit(ask_on) for _ in range(4)]
        eventually(lambda: waiting(hardy) > 0)
        doomed.kill()
        killed.set()
        statuses = {asked(hardy, PNG) for _ in range(20)}
    assert statuses <= {200, 503} and 200 in statuses
    assert all(isinstance(one.exception(), httpx.TransportError | None) for one in last)
    eventually(lambda: len(hardy.workers()) == 2 and doomed not in hardy.workers())
    assert {other.pid for other in others} < {worker.pid for worker in hardy.workers()}
    eventually(lambda: waiting(hardy) == 0)  # the queue of the one that was killed is not counted for ever
    eventually(lambda: hardy.started_count() == 3)
    assert {asked(hardy, PNG) for _ in range(10)} == {200}


def test_told_to_end_it_answers_what_it_was_asked_first(hardy: Served) -> None:
    begun = [begin(hardy) for _ in range(4)]
    hardy.process.terminate()
    for connected in begun:
        connected.sendall(SLOW)
    assert {bentos.received(connected).partition(b"\r\n")[0] for connected in begun} == {b"HTTP/1.1 200 OK"}
    hardy.process.wait(WAIT_SECONDS)
    with pytest.raises(httpx.TransportError):
        asked(hardy, PNG)
    assert not [line for line in hardy.lines() if line["level"] not in ("info", "warning")]
