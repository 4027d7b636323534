"""Comet's real client: its archives read back, and online against a stand-in for Comet's server on the loopback."""

import json
import logging
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from comet_server import OWN_METRIC, CometServer, Mood, comet_server
from pydantic import SecretStr
from tracked_runs import PARAMS, learn, points, tracked

from loopline.clients.comet import check_comet, upload
from loopline.errors import ConfigError
from loopline.records import Record, read_record
from loopline.settings import CometSettings
from loopline.tracking import Tracking

KEY = "canary0key0of0this0test"
RUN = "4e" * 32
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
FILES = {"worst/001.png": PNG, "report.html": b"<h1>report</h1>"}
OFFLINE = CometSettings(mode="offline", workspace="team")


@dataclass(frozen=True)
class Archive:
    """What Comet's client wrote for later."""

    kinds: set[str]
    params: dict[str, Any]
    points: list[tuple[str, int, int | None, float]]
    files: dict[str, bytes]
    facts: dict[str, Any]
    about: dict[str, Any]


def read_archive(path: Path) -> Archive:
    with zipfile.ZipFile(path) as archive:
        messages = [json.loads(line) for line in archive.read("messages.json").splitlines()]
        of = {kind: [m["payload"] for m in messages if m["type"] == kind] for kind in {m["type"] for m in messages}}
        return Archive(
            kinds=set(of),
            params={
                p["param"]["paramName"]: p["param"]["paramValue"]
                for p in of["parameter_msg"]
                if p["param"]["source"] == "manual"
            },
            points=sorted(
                (p["metric"]["metricName"], p["metric"]["step"], p["metric"]["epoch"], p["metric"]["metricValue"])
                for p in of["metric_msg"]
                if p["metric"]["metricName"] != OWN_METRIC
            ),
            files={_name(p): archive.read(Path(p["file_path"]).name) for p in of.get("file_upload", [])},
            facts={p["key"]: p["value"] for p in of["log_other"]},
            about=json.loads(archive.read("experiment.json")),
        )


def _name(payload: dict[str, Any]) -> str:
    params = payload["additional_params"] or {}
    return str(params.get("figName") or params.get("fileName") or payload["upload_type"])


def show(tracking: Tracking) -> None:
    """Record what an evaluation shows."""
    tracking.image("worst/001.png", PNG)
    tracking.asset("report.html", FILES["report.html"])
    tracking.fact("dataset", "dataset/handwriting/v3")


def online(comet: CometServer) -> CometSettings:
    return CometSettings(mode="online", api_key=SecretStr(KEY), url=comet.url, workspace="team")


def count(tracking: Tracking, steps: range) -> None:
    for step in steps:
        tracking.metrics({"loss": 1 / (step + 1)}, step=step, epoch=step // 10)


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def everything_in(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def assert_whole(archive: Archive, record: Record) -> None:
    assert archive.params == record.params == PARAMS
    assert archive.points == points(record)
    assert archive.files == FILES
    assert archive.facts["dataset"] == "dataset/handwriting/v3"


@pytest.fixture(scope="module")
def offline_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder after a training run and its evaluation, both offline."""
    home = tmp_path_factory.mktemp("home")
    with tracked(OFFLINE, home, run=RUN) as tracking:
        learn(home / "run", tracking)
        show(tracking)
    with suppress(ZeroDivisionError), tracked(OFFLINE, home, run=RUN, kind="evaluation") as tracking:
        tracking.metrics({"test_cer": 0.25}, step=12)
        raise ZeroDivisionError  # a run that fails is archived as far as it came
    return home


@pytest.fixture
def home(offline_home: Path, tmp_path: Path) -> Path:
    return shutil.copytree(offline_home, tmp_path / "home")


@pytest.fixture
def comet() -> Iterator[CometServer]:
    with comet_server() as server:
        yield server


def test_an_offline_archive_of_a_fit_holds_every_parameter_step_and_image(offline_home: Path) -> None:
    archive = read_archive(next((offline_home / "comet").glob("*-train.zip")))
    record = read_record(offline_home / "run" / "record-train.jsonl")
    assert_whole(archive, record)
    assert len(record.series("val_cer")) == 6
    assert archive.about["offline_id"] == RUN[:40]
    assert archive.about["project_name"] == "loopline"
    assert set(archive.about["tags"]) == {"train", "handwriting"}
    assert archive.facts["Name"] == "handwriting v3"


def test_no_code_git_environment_or_output_is_in_an_archive(offline_home: Path) -> None:
    archive = read_archive(next((offline_home / "comet").glob("*-train.zip")))
    assert archive.kinds == {"parameter_msg", "metric_msg", "log_other", "file_upload"}
    assert set(archive.facts) == {"Name", "dataset", "offline_experiment"}


def test_code_and_environment_are_in_an_archive_when_asked_for(tmp_path: Path) -> None:
    settings = OFFLINE.model_copy(update={"log_code": True})
    with tracked(settings, tmp_path, run=RUN) as tracking:
        show(tracking)
    archive = read_archive(next((tmp_path / "comet").glob("*.zip")))
    assert "system_details" in archive.kinds
    assert "loopline/tracking.py" in archive.files


def test_archives_that_the_stand_in_refuses_stay_and_later_reach_it_once_as_one_experiment(
    home: Path, comet: CometServer
) -> None:
    (home / "comet" / "broken.zip").write_bytes(b"no archive")
    settings = online(comet)
    comet.mood = "refusing"
    sent = upload(settings, home)
    assert sent.archives == ()
    assert "-train.zip was not uploaded: it refused the key" in sent.failures[0]
    assert sent.failures[1].startswith("2 more were not tried")

    comet.mood = "well"
    sent = upload(settings, home)
    assert len(sent.archives) == 2
    assert [failure.split(":")[0] for failure in sent.failures] == ["broken.zip was not uploaded"]
    records = [read_record(home / "run" / f"record-{kind}.jsonl") for kind in ("train", "evaluation")]
    assert comet.experiments == {RUN[:40]}
    assert sorted(comet.points) == sorted(point for record in records for point in points(record))
    assert comet.params == PARAMS
    assert sorted(comet.files) == sorted(FILES.items())
    assert comet.facts["dataset"] == "dataset/handwriting/v3"

    (home / "comet" / "broken.zip").unlink()
    seen = comet.asked
    assert upload(settings, home).archives == ()
    assert comet.asked == seen


def test_a_run_online_is_whole_at_the_stand_in_and_leaves_no_archive(tmp_path: Path, comet: CometServer) -> None:
    with tracked(online(comet), tmp_path, run=RUN) as tracking:
        learn(tmp_path / "run", tracking)
        show(tracking)
    record = read_record(tmp_path / "run" / "record-train.jsonl")
    assert sorted(comet.points) == points(record)
    assert comet.params == PARAMS
    assert sorted(comet.files) == sorted(FILES.items())
    assert tracking.url == f"{comet.url}/team/loopline/{RUN[:40]}"
    assert list((tmp_path / "comet").glob("*.zip")) == []
    assert not any(request.path.endswith(("git-patch/upload", "system-details")) for request in comet.requests)


def test_a_retry_continues_the_experiment_at_the_stand_in(tmp_path: Path, comet: CometServer) -> None:
    for steps in (range(20), range(40)):
        with tracked(online(comet), tmp_path, run=RUN) as tracking:
            count(tracking, steps)
    assert comet.experiments == {RUN[:40]}
    times = {(p["step"], p["timestamp"]) for p in comet.batched("experiment/metric") if p["metricName"] == "loss"}
    assert len(times) == len({step for step, _ in times}) == 40


@dataclass(frozen=True)
class Case:
    """How a run with a troubled Comet went."""

    home: Path
    url: str | None
    waited: float


def run_in_trouble(home: Path, mood: Mood | None, *, at_step: int) -> Case:
    """Track a run of 100 steps whose stand-in changes its mood at one of them; None: it is gone."""
    with ExitStack() as living:
        comet = living.enter_context(comet_server("well" if at_step else mood or "well"))
        with tracked(online(comet), home, run=RUN) as tracking:
            count(tracking, range(at_step))
            until(lambda: comet.points if at_step else comet.asked)
            if mood:
                comet.mood = mood
            else:
                living.close()
            count(tracking, range(at_step, 100))
            show(tracking)
            ended = time.monotonic()
        return Case(home, tracking.url, time.monotonic() - ended)


TROUBLES: dict[str, tuple[Mood | None, int, str]] = {
    "refused": ("refusing", 0, "it refused the key"),
    "full": ("full", 0, "Maximum number of experiments"),
    "revoked midway": ("refusing", 50, "it refused the key"),
    "gone midway": (None, 50, "it did not"),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Case, list[str]]]:
    """Every trouble at the same time, each with a stand-in of its own; with the warnings that it gave."""
    heard: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("loopline").addHandler(listener)
    homes = {name: tmp_path_factory.mktemp("home") for name in TROUBLES}
    with ThreadPoolExecutor(len(homes)) as pool:
        runs = {
            name: pool.submit(run_in_trouble, homes[name], mood, at_step=at) for name, (mood, at, _) in TROUBLES.items()
        }
        return {
            name: (run.result(), [text for text in heard if str(homes[name]) in text]) for name, run in runs.items()
        }


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_run_that_the_stand_in_does_not_take_is_kept_whole(
    cases: dict[str, tuple[Case, list[str]]], trouble: str
) -> None:
    case, warnings = cases[trouble]
    (archive,) = (case.home / "comet").glob("*.zip")
    assert_whole(read_archive(archive), read_record(case.home / "run" / "record-train.jsonl"))
    assert len(warnings) == 1
    assert warnings[0].startswith(f"comet: {TROUBLES[trouble][2]}")
    assert str(archive) in warnings[0]
    assert KEY.encode() not in everything_in(case.home) + warnings[0].encode()
    assert (case.url is None) == (TROUBLES[trouble][1] == 0)


def test_a_stand_in_that_never_answers_costs_less_than_ten_seconds(tmp_path: Path) -> None:
    case = run_in_trouble(tmp_path, "silent", at_step=0)
    assert case.waited < 10
    (archive,) = (tmp_path / "comet").glob("*.zip")
    assert_whole(read_archive(archive), read_record(tmp_path / "run" / "record-train.jsonl"))


def test_comet_that_can_not_work_is_named_before_anything_is_spent() -> None:
    with pytest.raises(ConfigError, match="LOOPLINE_COMET__API_KEY"):
        check_comet(CometSettings(mode="online"))
    with pytest.raises(ConfigError, match="no address of a Comet server"):
        check_comet(CometSettings(mode="online", api_key=SecretStr(KEY), url="comet.example"))
    with pytest.raises(ConfigError, match="without a key"):
        upload(OFFLINE, Path("nowhere"))
    check_comet(CometSettings())
