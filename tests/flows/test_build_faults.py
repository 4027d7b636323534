"""What a build outlives beyond its own process: a store that fails, a disk that is full, another problem's build."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faults import faulty
from laptops import Laptop, eventually, standing

from loopline.laptop_addresses import LaptopAddresses

ROOT = Path(__file__).parents[2]
ROOM, LITTLE = "4g", 2**20
SECOND = "scribbles"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A laptop that no other module uses."""
    with standing(tmp_path_factory.mktemp("own") / "home") as laptop:
        yield laptop


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of its own, which a test can make full."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder], capture_output=True)
        if mounted.returncode:
            pytest.skip("may not mount a tmpfs here; runs wherever the tests' user is root")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def resize(disk: Path, size: str | int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def announced(laptop: Laptop) -> list[str]:
    with laptop.api() as api:
        asked = {"filter": {"event": {"prefix": ["loopline.model."]}}}
        events = api.post("/events/filter", json=asked).raise_for_status().json()["events"]
    return [f"{event['payload']['problem']}@{event['payload']['version']}" for event in events]


def versions(laptop: Laptop) -> list[str]:
    registry = laptop.settings["LOOPLINE_REGISTRY__URL"]
    tags = subprocess.check_output(["git", "tag"], cwd=registry, text=True).split()
    return sorted(tag for tag in tags if "@" in tag)


def test_a_store_that_fails_while_a_model_is_announced_delays_it_and_it_is_announced_once(
    own: Laptop, lines: Path, tmp_path: Path
) -> None:
    apart = own.apart(tmp_path, bucket="failing")
    with faulty(LaptopAddresses.read(own.home).store_url, keeps_host=True) as store:
        through = replace(apart, settings=apart.settings | store_settings(own, store.url))
        store.will("PUT", "/events/unsent/", "refused", times=6, status=503)  # the client itself asks four times
        done = through.run(lines, epochs=1)
    assert done.code == 0, done.log
    assert re.search(r"announce.*answered 503.*Retry", done.log), done.log
    eventually(lambda: announced(own))
    assert apart.run(lines, epochs=1).code == 0
    assert versions(apart) == announced(own) == ["handwriting@v1.0.0"]


def store_settings(laptop: Laptop, url: str) -> dict[str, str]:
    addresses = LaptopAddresses.read(laptop.home)
    return {
        "LOOPLINE_STORE__ENDPOINT": url,
        "LOOPLINE_STORE__ACCESS_KEY": addresses.store_access_key,
        "LOOPLINE_STORE__SECRET_KEY": addresses.store_secret_key.get_secret_value(),
    }


def test_builds_of_two_problems_at_once_each_make_their_model(own: Laptop, lines: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".git", ".venv", ".loopline", "__pycache__", ".*_cache"))
    folder = clone / "loopline" / "problems" / SECOND
    shutil.copytree(folder.with_name("handwriting"), folder)
    for source in folder.glob("*.py"):
        source.write_text(source.read_text().replace("handwriting", SECOND))
    apart = own.apart(tmp_path, bucket="two")
    assert apart.call("run", "--problem", SECOND).code == 2, "only the clone knows it"
    program = (sys.executable, "-c", "import sys; from loopline.cli import app; app()")
    building = [
        subprocess.Popen(
            apart.command(*apart.arguments(lines, epochs=1), "--problem", problem, program=program),
            env=apart.environment,
            cwd=clone,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for problem in ("handwriting", SECOND)
    ]
    ended = [(process.communicate(timeout=300), process.returncode) for process in building]
    assert [code for _, code in ended] == [0, 0], "\n".join(log for (_, log), _ in ended)
    judged = [json.loads(out) for (out, _), _ in ended]
    assert [f"{one['problem']}@{one['version']}" for one in judged] == ["handwriting@v1.0.0", f"{SECOND}@v1.0.0"]
    assert versions(apart) == ["handwriting@v1.0.0", f"{SECOND}@v1.0.0"]
    eventually(lambda: {"handwriting@v1.0.0", f"{SECOND}@v1.0.0"} <= set(announced(own)))


def test_a_full_disk_is_named_and_once_there_is_room_the_build_goes_on(small_disk: Path, lines: Path) -> None:
    with standing(small_disk / "home") as laptop:
        building = subprocess.Popen(
            laptop.command(*laptop.arguments(lines, epochs=3)),
            env=laptop.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not list((laptop.home / "store").glob("loopline/runs/*/state.json")):
            assert building.poll() is None
            time.sleep(0.05)
        used = shutil.disk_usage(small_disk).used
        resize(small_disk, used + LITTLE)
        (small_disk / "filler").write_bytes(os.urandom(LITTLE // 2))
        _, log = building.communicate(timeout=300)
        assert building.returncode == 1
        assert f"the disk of {laptop.home} is full; make room" in log.strip().splitlines()[-1], log
        resize(small_disk, ROOM)
        again = laptop.run(lines, epochs=3)
        assert again.code == 0, again.log
        assert laptop.call("fsck", "--full").code == 0
