"""The laptop's router over HTTP, before stand-in readers that answer well, slowly, wrongly, or die."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from laptop_processes import free_port
from pydantic import SecretStr

from loopline.laptop_addresses import LaptopAddresses, Standing
from loopline.laptop_target import LaptopTarget
from loopline.orders import ReleasePlan
from loopline.release_contracts import Trial
from loopline.releasing import answer_a_share
from loopline.routes import BLUE, GREEN, HEALTH, Routes, read_pairs, write_routes
from loopline.settings import Settings

ROUTER = Path(__file__).parents[2] / "deployments" / "laptop" / "router.py"
PLAN = ReleasePlan(share=0.5, least_answers=20, trial_seconds=30)


@dataclass
class Reader:
    """Stands in for a reader: answers /read with its text."""

    text: str
    confidence: float = 0.9
    seconds: float = 0.0
    dies: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self) -> bytes:
        reading = {"prediction_id": "0" * 20, "text": self.text, "confidence": self.confidence, "unsure": False}
        more = {"characters": [], "width_px": 9, "height_px": 9, "model": f"handwriting:{self.text}"}
        return json.dumps(reading | more).encode()


@contextmanager
def listening(reader: Reader) -> Iterator[Reader]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reader.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            if reader.dies:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            time.sleep(reader.seconds)
            body = reader.answer()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    reader.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield reader
    server.shutdown()
    server.server_close()


@dataclass
class Place:
    """A router's home, and how to ask it."""

    home: Path
    http: httpx.Client
    old: Reader
    new: Reader

    def read(self, path: str = "/read") -> str:
        answer = self.http.post(path, content=b"a picture")
        return str(answer.json().get("text", answer.status_code))

    def tried(self, plan: ReleasePlan = PLAN) -> Trial:
        """Try the new one while people ask; nobody may see a failure."""
        ended, said = threading.Event(), list[str]()

        def ask() -> None:
            while not ended.is_set():
                said.append(self.read())

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            return answer_a_share(LaptopTarget(Settings(home=self.home)), plan)
        finally:
            ended.set()
            asking.join(30)
            assert set(said) <= {"old", self.new.text}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    port = free_port()
    with listening(Reader("old")) as old, listening(Reader("old")) as new:
        readers = {BLUE: Standing(bento="a:1", url=old.url), GREEN: Standing(bento="a:2", url=new.url)}
        addresses = LaptopAddresses(
            store_url="http://127.0.0.1:1",
            store_access_key="a",
            store_secret_key=SecretStr("b"),
            prefect_url="http://127.0.0.1:1/api",
            readers=readers,
            reader_url=f"http://127.0.0.1:{port}",
        )
        LaptopAddresses.path(tmp_path).write_text(addresses.model_dump_json())
        environment = os.environ | {"LOOPLINE_HOME": str(tmp_path), "ROUTER_PORT": str(port)}
        process = subprocess.Popen([sys.executable, ROUTER], env=environment)
        try:
            with httpx.Client(base_url=addresses.reader_url, timeout=30, trust_env=False) as http:
                _wait(http, process)
                yield Place(tmp_path, http, old, new)
        finally:
            process.terminate()
            process.wait(30)


def _wait(http: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            assert http.get(HEALTH).status_code == 204
            return
        except httpx.TransportError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)


def test_before_the_first_release_nobody_answers_and_afterwards_the_one_in_service(place: Place) -> None:
    assert place.http.post("/read").status_code == 503
    write_routes(place.home, Routes(live=BLUE))
    answer = place.http.post("/read?a=b", headers={"Authorization": "Bearer key"}, content=b"a picture")
    assert answer.json()["text"] == "old"
    assert place.old.asked[-1] | {"path": "/read?a=b", "authorization": "Bearer key"} == place.old.asked[-1]
    place.new.text = "new"
    write_routes(place.home, Routes(live=GREEN))
    assert place.read() == "new"


def test_on_trial_it_reads_its_share_and_the_other_reads_the_same_and_keeps_nothing(place: Place) -> None:
    place.new.text = "new"
    write_routes(place.home, Routes(live=BLUE, trial=GREEN, share=1.0))
    assert place.read() == "new"
    assert place.read("/correct") == "old", "pictures alone are shared"
    (pair,) = _pairs(place)
    assert (pair.trial.status, pair.live.status, pair.agree) == (200, 200, False)
    mirrored = next(one for one in place.old.asked if one["path"] == "/read")
    assert mirrored["x-loopline-capture"] == "off" and "x-loopline-capture" not in place.new.asked[0]
    assert "a picture" not in (place.home / "reader" / "pairs.jsonl").read_text()


def test_in_the_shadow_nobody_sees_what_it_says(place: Place) -> None:
    place.new.text = "new"
    write_routes(place.home, Routes(live=BLUE, trial=GREEN, share=1.0, shadow=True))
    assert {place.read() for _ in range(5)} == {"old"}
    assert [pair.agree for pair in _pairs(place, 5)] == [False] * 5
    assert {one["x-loopline-capture"] for one in place.new.asked} == {"off"}


def test_a_trial_that_nobody_ended_is_over_by_itself(place: Place) -> None:
    place.new.text = "new"
    routes = Routes(live=BLUE, trial=GREEN, share=1.0, until=datetime.now(UTC) + timedelta(hours=1))
    write_routes(place.home, routes)
    assert place.read() == "new"
    write_routes(place.home, routes.model_copy(update={"until": datetime.now(UTC) - timedelta(seconds=1)}))
    assert {place.read() for _ in range(5)} == {"old"}


def _pairs(place: Place, count: int = 1) -> list:  # type: ignore[type-arg]
    deadline = time.monotonic() + 30
    while len(found := read_pairs(place.home)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_a_good_one_may_go_on(place: Place) -> None:
    write_routes(place.home, Routes(live=BLUE))
    trial = place.tried()
    assert trial.reasons == ()
    assert (trial.figures["live_failures"], trial.figures["agreement"]) == (0, 1)
    assert trial.figures["live_pictures"] >= PLAN.least_answers


def test_one_that_dies_may_not_and_nobody_notices(place: Place) -> None:
    write_routes(place.home, Routes(live=BLUE))
    place.new.dies = True
    (reason,) = place.tried().reasons
    assert re.fullmatch(r"it failed on (\d+) of \1 live pictures, and the one in service did not", reason)


def test_one_that_answers_otherwise_may_not(place: Place) -> None:
    write_routes(place.home, Routes(live=BLUE))
    place.new.text, place.new.confidence = "new", 0.3
    agreement, confidence = place.tried().reasons
    assert agreement.startswith("both read 0% of ")
    assert confidence == "its confidence on live pictures is 0.30, that of the one in service 0.90"


def test_one_that_answers_slowly_may_not(place: Place) -> None:
    write_routes(place.home, Routes(live=BLUE))
    place.new.seconds = 0.2
    (reason,) = place.tried().reasons
    assert reason.startswith("it answers within 2") and "(p95), the one in service within" in reason


def test_without_traffic_the_known_lines_decide(place: Place) -> None:
    write_routes(place.home, Routes(live=BLUE))
    told: list[str] = []
    target = LaptopTarget(Settings(home=place.home))
    trial = answer_a_share(target, PLAN.model_copy(update={"trial_seconds": 0.1}), tell=told.append)
    assert (trial.reasons, trial.figures["live_pictures"]) == ((), 0)
    assert told == ["0 live pictures came in 0.1 s, so that the known lines decide"]
