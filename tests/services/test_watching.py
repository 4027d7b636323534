"""Traffic as a real spool delivers it to a real store, and what a look at it finds: drift, or none."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from asked import NOW, prediction_id, put_correction
from benches import HANDWRITING, Bench, make_bench
from PIL import Image, ImageOps
from prometheus_client.parser import text_string_to_metric_families

from loopline.answers import Reading
from loopline.captures import PICTURE, place
from loopline.clients.pushgateway import push
from loopline.contracts import HeldBack
from loopline.drift import ALPHA
from loopline.errors import ConfigError, IntegrityError, UnreachableError
from loopline.event_contracts import ModelDrifting
from loopline.judging import check_watched_bounds
from loopline.known_lines import read_known_lines
from loopline.labels import SCHEMA as LABELED
from loopline.manifest import read_manifest, write_manifest
from loopline.orders import Requirement, Requirements, WatchPlan
from loopline.problems.handwriting.samples import write_samples
from loopline.serving import Predictor
from loopline.settings import StoreSettings
from loopline.spool import Spool
from loopline.traffic import Row, traffic_place
from loopline.traffic_window import MOST_SAMPLED, drop_files, drop_traffic, read_window
from loopline.watch_contracts import KnownLines, Watched
from loopline.watch_page import render, summary
from loopline.watch_records import Record, history, keep
from loopline.watch_truth import Truth, read_truth
from loopline.watching import drift_told, judge

ANSWERS = 100  # of a window
PLAN = WatchPlan(least_answers=50, pictures=60)
MOST_BYTES = 2**28
NOTHING_SAID = Truth([], [])


@dataclass
class Service:
    """A model, and what its users send it."""

    bench: Bench
    model: HeldBack
    known: KnownLines
    lines: list[Image.Image]
    folder: Path
    asked: int = 0
    before: Watched | None = None

    @cached_property
    def predictor(self) -> Predictor:
        return Predictor.open(self.bench.store.read_artifact(self.model.packaged.archive))

    @property
    def package(self) -> str:
        return self.known.package_sha256

    def serve(self, pictures: list[Image.Image], *, failed: int = 0, slow: float = 0.01) -> list[str]:
        """Answer pictures as the service does; their prediction ids."""
        spool = Spool(self.folder / "spool", self.bench.store, MOST_BYTES, package_sha256=self.package)
        spool.start()
        names = []
        answers = self.predictor.read([HANDWRITING.preprocess(one) for one in pictures])
        for image, answer in zip(pictures, answers, strict=True):
            self.asked += 1
            at = NOW + timedelta(seconds=self.asked)
            reading = Reading(
                prediction_id=prediction_id(at=at), text=answer.text, confidence=answer.confidence,
                unsure=answer.confidence < 0.5, characters=(), width_px=image.width, height_px=image.height,
                model=f"handwriting:{self.package[:12]}",
            )  # fmt: skip
            assert spool.keep_answer(reading, image, key_hash="", at=at)
            spool.note_request(200, slow, at=at)
            names.append(reading.prediction_id)
        for _ in range(failed):
            spool.note_request(500, slow, at=NOW)
        spool.stop(60)
        return names

    def sent(self, number: int) -> list[Image.Image]:
        """What users who write as the test lines were written send in a window."""
        return self.lines[number * ANSWERS : (number + 1) * ANSWERS]

    def look(self, *, truth: Truth = NOTHING_SAID) -> Watched:
        store = self.bench.store
        window = read_window(store, self.package)
        assert window
        fixed = {"known": self.known, "model": self.model, "plan": PLAN}
        self.before = judge(store, HANDWRITING, window=window, truth=truth, before=self.before, **fixed)
        drop_files(store, window.files)
        return self.before


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    folder = tmp_path_factory.mktemp("users") / "lines"
    write_samples(folder, counts={"train": 1, "validation": 1, "test": 22 * ANSWERS}, seed=77)
    paths = sorted((folder / "images").glob("*.png"))
    order = np.random.default_rng(1).permutation(len(paths))
    return [Image.open(paths[number]).convert("L") for number in order]


@pytest.fixture(scope="module")
def served(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Service:
    bench = make_bench(s3_server, tmp_path_factory.mktemp("bench"), counts={"train": 12, "validation": 12, "test": 300})
    packaged = bench.package(bench.judge(bench.loud_model()))
    model = HeldBack.model_construct(problem="handwriting", version="v1.0.0", packaged=packaged)
    return Service(bench, model, read_known_lines(bench.store, model), [], Path())


@pytest.fixture
def service(served: Service, lines: list[Image.Image], tmp_path: Path) -> Iterator[Service]:
    found = replace(served, lines=lines, folder=tmp_path)
    yield found
    drop_files(found.bench.store, [entry.key for entry in found.bench.store.list("traffic/")])


def test_traffic_that_has_not_changed_raises_no_more_alarms_than_stated(service: Service) -> None:
    """20 windows; at 1 false alarm in 100, three or more of them are a matter of 1 in 1,000."""
    alarms = []
    for number in range(20):
        service.serve(service.sent(number))
        found = service.look()
        alarms += [number] if any(one.p_value < ALPHA for one in found.gauges if one.p_value is not None) else []
        assert found.answer_count == ANSWERS and not any(one.crossed for one in found.gauges)
    assert len(alarms) <= 2, "without the bounds, by the tests alone"


def test_inverted_ink_is_told_after_two_windows_and_once(service: Service) -> None:
    service.serve(service.sent(0))
    assert not service.look().drifting
    facts = []
    for number in (1, 2, 3):
        service.serve([ImageOps.invert(one) for one in service.sent(number)])
        found = service.look()
        ink = found.gauge("drift_ink")
        assert ink and ink.value == 1 and ink.crossed
        facts += [drift_told(found, service.model)] if found.drifting else []
    assert len(facts) == 2 and facts[0].id == facts[1].id, "told by the second window, and by the third as the same"
    told = ModelDrifting.model_validate(facts[0].payload)
    assert any(reason.startswith("drift_ink is 1, at most 0.5") for reason in told.reasons)
    assert told.since == NOW + timedelta(seconds=ANSWERS + 1)
    assert (told.source, told.labels) == ("inbox/lines", "labels.json")


def test_failures_and_slow_answers_cross_their_bounds(service: Service) -> None:
    service.serve(service.sent(0), failed=20, slow=2.5)
    found = service.look()
    assert {one.name for one in found.gauges if one.crossed} == {"failure_share", "p95_ms"}
    failures = found.gauge("failure_share")
    assert failures and failures.value == pytest.approx(20 / 120) and failures.interval_95
    assert failures.interval_95[0] < 20 / 120 < failures.interval_95[1]


def test_truth_that_comes_later_is_joined_with_what_was_read(service: Service) -> None:
    store, names = service.bench.store, service.serve(service.sent(0))
    service.look()
    corrected = names[:40]
    for name in corrected:
        put_correction(store, name, "1234")
    write_rows(service, [Row(kind="correction", at=NOW, prediction_id=name) for name in [*corrected, prediction_id()]])
    service.serve(service.sent(1))
    window = read_window(store, service.package)
    assert window and window.counts.corrections == 41
    truth = read_truth(store, window.corrected, model=service.model, newest=None)
    assert [line.truth for line in truth.corrected] == ["1234"] * 40, "but for one that nobody knows"
    found = service.look(truth=truth)
    cer, lines = found.gauge("corrected_cer"), found.gauge("corrected_line_accuracy")
    assert cer and cer.crossed and cer.interval_95 and cer.interval_95[0] > 0.5, "nonsense was read"
    assert lines and lines.value == 0


def test_what_people_labelled_of_captures_is_an_audit(service: Service) -> None:
    store, names = service.bench.store, service.serve(service.sent(0))
    rows = [labelled(service.bench, place(name, PICTURE), "77") for name in names[:30]]
    rows += [labelled(service.bench, "inbox/lines/a.png", "77"), labelled(service.bench, place(names[30], PICTURE), "")]
    manifest = write_manifest(store, pa.Table.from_pylist(rows, schema=LABELED))
    labeled = service.bench.dataset.labeled.model_copy(update={"manifest": manifest})
    newest = service.bench.dataset.model_copy(update={"labeled": labeled})
    truth = read_truth(store, [], model=service.model, newest=newest)
    assert len(truth.audited) == 30 and {line.truth for line in truth.audited} == {"77"}
    found = service.look(truth=truth)
    assert found.gauge("audited_cer") and not found.gauge("corrected_cer")


def test_a_window_is_counted_once_whatever_was_killed(service: Service) -> None:
    store = service.bench.store
    service.serve(service.sent(0))
    window = read_window(store, service.package)
    assert window
    again = read_window(store, service.package)
    assert again and again.counts == window.counts, "killed before the record was written, it is as if nothing was"
    keep(store, Record(watched=service.look(), taken=tuple(window.files)), now=NOW)
    store.write(window.files[0], b"{}")  # killed after it, before its files were deleted
    (last,) = history(store, service.package)
    assert read_window(store, service.package, but=set(last.taken)) is None
    assert not store.exists(window.files[0])


def test_of_very_many_answers_all_are_counted_and_some_are_drawn(service: Service) -> None:
    many = 3 * MOST_SAMPLED
    for part in range(3):
        rows = [Row(kind="answer", at=NOW, unsure=number % 4 == 0, ink=part / 2) for number in range(many // 3)]
        write_rows(service, rows, part=part)
    window = read_window(service.bench.store, service.package)
    assert window and (window.counts.answers, window.counts.unsure) == (many, many // 4)
    assert len(window.answers) == MOST_SAMPLED
    assert window.of_answers("ink").mean() == pytest.approx(0.5, abs=0.02), "from every part alike"


def test_rows_that_nobody_can_read_stay_and_are_named(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.serve(service.sent(0))
    damaged = traffic_place(service.package, "20261126T093000Z-0.jsonl")
    for data in (b"no JSON", b'{"kind": "answer", "at": "2026-11-26", "confidence": "high"}', b'{"kind": "answer"}'):
        service.bench.store.write(damaged, data)
        window = read_window(service.bench.store, service.package)
        assert window and window.unreadable == [damaged] and window.counts.answers == ANSWERS
        assert damaged in caplog.messages[-1]
    found = service.look()
    assert found.unreadable_count == 1 and service.bench.store.exists(damaged)


def test_pictures_that_were_deleted_since_are_left_out_and_counted(service: Service) -> None:
    names = service.serve(service.sent(0))
    for name in names[:50]:
        service.bench.store.delete(place(name, PICTURE))
    found = service.look()
    assert 20 < found.missing_count < 40, "of 60 that were drawn"
    assert found.gauge("drift_embedding")


def test_rows_that_nobody_looked_at_go_with_their_days(service: Service) -> None:
    store = service.bench.store
    for name in ("20260801T000000Z-a.jsonl", "20261101T000000Z-b.jsonl", "README"):
        store.write(traffic_place(service.package, name), b"")
    assert drop_traffic(store, before=datetime(2026, 9, 1, tzinfo=UTC)) == 1
    left = {entry.key.rpartition("/")[2] for entry in store.list("traffic/")}
    assert left == {"20261101T000000Z-b.jsonl", "README"}


def test_a_test_line_that_was_altered_ends_the_look(served: Service) -> None:
    store = served.bench.store
    row = read_manifest(store, served.model.packaged.report.worst).to_pylist()[0]
    key = f"blobs/{row['image_sha256']}"
    whole = store.read(key)
    try:
        store.write(key, whole + b" ")
        with pytest.raises(IntegrityError, match=row["image_sha256"]):
            read_known_lines(store, served.model)
    finally:
        store.write(key, whole)


def test_a_bound_on_what_no_traffic_tells_is_refused() -> None:
    wanted = Requirements(watch=(Requirement(metric="drift_colour", at_most=0.1),))
    with pytest.raises(ConfigError, match=r"drift_colour.*drift_ink"):
        check_watched_bounds(wanted, metrics=["cer"])


def test_the_page_says_in_words_and_drawings_what_is_not_kept(service: Service) -> None:
    windows = []
    for number in range(3):
        sent = service.sent(number)
        service.serve([ImageOps.invert(one) for one in sent] if number else sent, failed=30 * number)
        windows.append(service.look())
    page = render(windows)
    assert "handwriting v1.0.0 in service" in page and page.count("<svg") >= 9
    assert "drifting since" in page and "3 windows since" in page
    assert re.search(r"Drift: ink.*?1.00</td>.*?at most 0.5.*?drifting", page, re.DOTALL)
    first = render(windows[:1])
    assert "keeps its bounds" in first and "drifting since" not in first
    assert "| Drift: ink | 1.00 |" in summary(windows[-1])


def test_a_pushgateway_stand_in_is_told_the_newest_figures(service: Service) -> None:
    service.serve(service.sent(0), failed=30)
    found = service.look()
    with recording() as (address, bodies):
        push(address, found)
        push(address, found)
    assert len(bodies) == 2 and bodies[0][0] == "PUT /metrics/job/loopline_watch/problem/handwriting"
    samples = {
        (one.name, one.labels.get("figure")): one.value
        for family in text_string_to_metric_families(bodies[-1][1])
        for one in family.samples
    }
    assert samples["loopline_watch_answers", None] == ANSWERS
    assert samples["loopline_watch", "failure_share"] == pytest.approx(30 / 130)
    assert samples["loopline_watch_state", "failure_share"] == 1
    assert samples["loopline_watch_state", "drift_ink"] == 0


def test_a_pushgateway_that_is_down_is_named(service: Service) -> None:
    service.serve(service.sent(0))
    with pytest.raises(UnreachableError, match="Pushgateway"):
        push("http://127.0.0.1:1", service.look())


@contextmanager
def recording() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that takes what a Pushgateway takes, and remembers it."""
    bodies: list[tuple[str, str]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            bodies.append((f"PUT {self.path}", body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()


def write_rows(service: Service, rows: list[Row], *, part: int = 1) -> None:
    data = "".join(f"{row.model_dump_json(exclude_none=True)}\n" for row in rows).encode()
    service.bench.store.write(traffic_place(service.package, f"20261126T093000Z-{part}.jsonl"), data)


def labelled(bench: Bench, key: str, label: str) -> dict[str, object]:
    """A row of labels: usable if the label is not empty."""
    row = read_manifest(bench.store, bench.dataset.labeled.manifest).slice(0, 1).to_pylist()[0]
    return row | {"key": key, "label": label, "rejected": None if label else "empty"}
