"""Images judged and sharded by a real Dask cluster of two processes are the same dataset as by one process."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from laptop_processes import free_port
from laptops import Laptop, eventually

from loopline.clients.store import Store
from loopline.contracts import DatasetVersion, RawDataset
from loopline.dataset import freeze
from loopline.errors import ConfigError
from loopline.intake import take_images
from loopline.labels import take_labels
from loopline.local import prefect_environment
from loopline.orders import SplitPlan
from loopline.problems import load_problem
from loopline.problems.handwriting.samples import write_samples
from loopline.registry import Registry
from loopline.settings import RegistrySettings, Settings, read_settings
from tasks.ingest import take_range
from tasks.spreading import spread

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("prepared.py")
MISSING = ("prefect-dask", "dask", "distributed", "importlib-metadata", "lazy-importer", "locket", "partd")
MISSING += ("tblib", "toolz", "zict", "zipp")
HANDWRITING = load_problem("handwriting")
COUNTS = {"train": 140, "validation": 30, "test": 30}
BAD = {"cut.png": b"\x89PNG\r\n\x1a\n and no more", "empty.png": b""}
RANGE_COUNT = 20  # of some 200 images: eleven ranges
SHARD_LINES = 50  # four shards
FEW = 10  # images: far from all
WHO = "%(process)d %(message)s"  # what a task logs begins with its process


@dataclass
class Place:
    """A bucket and a registry that held nothing but the lines, and what is run there."""

    laptop: Laptop
    variables: dict[str, str]

    @property
    def bucket(self) -> Path:
        return self.laptop.home / "store" / self.laptop.settings["LOOPLINE_STORE__BUCKET"]

    @property
    def settings(self) -> Settings:
        return Settings(home=self.laptop.home, _env_file=None)  # type: ignore[call-arg]

    @property
    def environment(self) -> dict[str, str]:
        scale = {
            "LOOPLINE_SCALE__RANGE_COUNT": str(RANGE_COUNT),
            "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": WHO,
        }
        return self.laptop.environment | prefect_environment(self.settings) | scale | self.variables

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, SCRIPT, *arguments], subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)

    def count(self) -> int:
        """Of the images that were accepted so far."""
        return sum(1 for _ in (self.bucket / "blobs").glob("*"))

    def wait_for_more(self, count: int) -> None:
        """Wait until so many images are accepted, and make sure that others are not."""
        eventually(lambda: self.count() >= count)
        assert self.count() < sum(COUNTS.values())

    def quarantine(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.bucket / "quarantine").iterdir()}

    def made_by_this_process(self, folder: Path, shard_lines: int) -> DatasetVersion:
        """What ingest and version make of the lines in one process."""
        where = self.settings.resolved_store().model_copy(update={"bucket": self.bucket.name})
        store = Store(where)
        registry = Registry(
            RegistrySettings(url=self.laptop.settings["LOOPLINE_REGISTRY__URL"]), where, home=folder / "home"
        )
        images = take_images(store, HANDWRITING.name, "inbox/lines")
        labeled = take_labels(store, images, labels="labels.json", normalise=HANDWRITING.normalise_label)
        return freeze(
            store,
            registry,
            problem=HANDWRITING,
            labeled=labeled,
            split=SplitPlan(),
            folder=folder,
            shard_lines=shard_lines,
        )


@dataclass
class Places:
    """Makes places, each of its own."""

    laptop: Laptop
    lines: Path
    folder: Path

    def new(self, name: str, **variables: str) -> Place:
        (self.folder / name).mkdir()
        place = Place(self.laptop.apart(self.folder / name, bucket=f"spread-{name}"), variables)
        shutil.copytree(self.lines, place.bucket / "inbox" / "lines")
        return place


@pytest.fixture(scope="module")
def places(elsewhere: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("spread")
    lines = folder / "lines"
    write_samples(lines, counts=COUNTS)
    for name, content in BAD.items():
        (lines / name).write_bytes(content)
    return Places(elsewhere, lines, folder)


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Prefect knows Dask. Installed beside, as it would make other runs' start longer."""
    folder = tmp_path_factory.mktemp("dask")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pins = ["--constraint", ROOT / "constraints.txt", "--target", folder]
    subprocess.run([*pip, *pins, *MISSING], check=True)
    return {"PYTHONPATH": str(folder), "DASK_TEMPORARY_DIRECTORY": str(folder)}


@contextmanager
def cluster(place: Place) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start a scheduler and two workers with the place's settings, and have the place's runs ask them."""
    port, page = free_port(), free_port()
    address = place.variables["LOOPLINE_SCALE__DASK"] = f"tcp://127.0.0.1:{port}"
    with ExitStack() as stack:

        def begin(module: str, *options: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options, "--no-dashboard"]
            process = subprocess.Popen(command, env=place.environment, cwd=ROOT, stderr=subprocess.DEVNULL)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        begin("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", f"127.0.0.1:{page}")
        workers = [begin("dask_worker", address, "--nthreads", "1", "--no-nanny") for _ in range(2)]
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            eventually(
                lambda: client.get(f"http://127.0.0.1:{page}/json/counts.json").json()["workers"] == len(workers)
            )
        yield workers


def outcome(process: subprocess.Popen[str]) -> tuple[DatasetVersion, str]:
    """The version that a run made, and what was logged."""
    said, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    return DatasetVersion.model_validate_json(said), log


def raw(version: DatasetVersion) -> RawDataset:
    return version.labeled.raw


def test_two_processes_make_the_dataset_that_one_makes(places: Places, dask: dict[str, str], tmp_path: Path) -> None:
    two = places.new("two", **dask, LOOPLINE_SCALE__DASK="local:2")
    run = two.start(str(SHARD_LINES))
    version, log = outcome(run)
    one = places.new("one")
    alone = one.made_by_this_process(tmp_path, SHARD_LINES)
    assert raw(version).digest == raw(alone).digest
    assert version.digest == alone.digest
    assert (len(version.shards), raw(version).quarantined_count) == (4, len(BAD))
    assert two.quarantine() == one.quarantine()
    done = [int(process) for process in re.findall(r"(\d+) Finished in state Completed", log)]
    shares = Counter(process for process in done if process != run.pid)
    assert (shares.total(), len(shares)) == (11 + 4, 2 + 2), log  # two processes for each of the two steps
    assert not any(map(psutil.pid_exists, shares))


def test_killed_run_is_made_good_by_the_next_though_a_worker_is_killed(
    places: Places, dask: dict[str, str], tmp_path: Path
) -> None:
    place = places.new("killed", **dask)
    with cluster(place) as workers:
        run = place.start()
        place.wait_for_more(FEW)
        run.kill()
        run.communicate()
        again, before = place.start(), place.count()
        place.wait_for_more(before + FEW)
        workers[0].kill()
        version, _ = outcome(again)
        assert workers[1].poll() is None
    alone = places.new("untouched").made_by_this_process(tmp_path, SHARD_LINES * 40)
    assert raw(version).digest == raw(alone).digest
    assert version.digest == alone.digest


def test_without_dask_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPLINE_SCALE__DASK", "local:2")
    with pytest.raises(ConfigError, match=r"dask is not installed; pip install 'loopline\[dask\]'"), spread(take_range):
        pass


def test_a_cluster_that_does_not_answer_is_named(dask: dict[str, str]) -> None:
    place = f"tcp://127.0.0.1:{free_port()}"
    settings = {"LOOPLINE_SCALE__DASK": place, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    ask = (
        "from loopline.contracts import Artifact, KeyRange; from tasks.ingest import take_range\n"
        "from tasks.spreading import spread\n"
        "listing = Artifact(sha256='0' * 64, size_bytes=0, uri='')\n"
        "with spread(take_range) as ranges: list(ranges([KeyRange(prefix='inbox', listing=listing)]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", ask], env=os.environ | dask | settings, cwd=ROOT, capture_output=True, text=True
    )
    assert f"UnreachableError: the Dask cluster {place} did not answer" in told.stderr


@pytest.mark.parametrize("wrong", ["2", "local:0", "dask.example.com:8786", "tcp://dask.example.com"])
def test_what_is_no_address_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPLINE_SCALE__DASK", wrong)
    with pytest.raises(ConfigError, match="LOOPLINE_SCALE__DASK"):
        read_settings()
