"""Models announced, released and taken back on a laptop with a worker: real builds, real services, real events."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from laptop_processes import supervised_processes
from laptops import eventually
from systems import CANARY, READY, RELEASED, ROLLED_BACK, SECONDS, System, name

from loopline import commands, releasing
from loopline.contracts import ModelReady
from loopline.laptop_addresses import LaptopAddresses
from loopline.release_contracts import Candidate, Released, Trial
from loopline.routes import read_routes


@pytest.fixture(scope="module")
def first(system: System) -> ModelReady:
    """The first model, built by hand; its announcement wakes the worker."""
    return system.build("epochs=8")


@pytest.fixture(scope="module")
def second(system: System, first: ModelReady) -> ModelReady:
    """A better one, released while people ask."""
    system.settle(1)
    return system.build("epochs=12")


def test_a_model_that_is_ready_answers_soon(system: System, first: ModelReady) -> None:
    (run,) = system.settle(1)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    assert run["created_by"]["type"] == "AUTOMATION"
    assert run["parameters"]["plan"] == {
        "problem": "handwriting",
        "version": first.version,
        "package_sha256": first.packaged.archive.sha256,
    }
    assert system.answering() == name(first)
    (event,) = eventually(lambda: system.told(RELEASED, first.version))
    assert event["payload"]["previous"] is None and event["payload"]["figures"]["known_lines"] == 40
    assert system.stages() == {"champion": first.version, "laptop": first.version}


def test_the_next_one_answers_a_share_first_and_the_one_before_stands_ready(
    system: System, first: ModelReady, second: ModelReady
) -> None:
    with system.traffic() as traffic:
        assert {run["state_type"] for run in system.settle(2)} == {"COMPLETED"}
    assert set(traffic.models) == {name(first), name(second)}
    (event,) = eventually(lambda: system.told(RELEASED, second.version))
    figures = event["payload"]["figures"]
    assert figures["live_pictures"] >= 20 and figures["live_failures"] == 0
    assert (event["payload"]["previous"], system.answering()) == (first.version, name(second))
    assert system.laptop.call("release").out.strip().endswith(f"{second.version} answers there already")


def test_a_release_that_was_killed_after_its_promotion_is_completed_and_not_repeated(
    system: System, first: ModelReady, second: ModelReady
) -> None:
    system.settle(2)
    place, registry = releasing.target(system.settings, "laptop"), commands.registry(system.settings)
    killed = Candidate(judged=second, target="laptop", previous=first.version)
    end = releasing.conclude(registry, place, killed, Trial())
    assert isinstance(end, Released) and end.previous == first.version
    assert (system.answering(), place.ready()) == (name(second), first.packaged.bento_tag)


def test_a_bad_model_is_taken_back_and_hardly_anybody_saw_it(system: System, second: ModelReady) -> None:
    system.settle(2)
    wrong = system.laptop.home / "store" / "loopline" / "inbox" / "wrong"
    shutil.copytree(system.lines, wrong)
    labels, splits = json.loads((wrong / "labels.json").read_text()), json.loads((wrong / "splits.json").read_text())
    learnt = splits["train"]
    others = random.Random(1).sample(learnt, len(learnt))
    labels |= dict(zip(learnt, [labels[key] for key in others], strict=True))
    (wrong / "labels.json").write_text(json.dumps(labels))
    settings = {"LOOPLINE_REGISTRY__URL": str(system.laptop.home / "other.git")}
    settings |= {"LOOPLINE_COMET__MODE": "offline", "LOOPLINE_COMET__API_KEY": CANARY}
    elsewhere = replace(system.laptop, settings=settings)
    bad = system.announce_unjudged(system.build("epochs=3", laptop=elsewhere, source="inbox/wrong"))
    assert system.stages()["champion"] == bad.version
    with system.traffic() as traffic:
        system.say(bad.version, bad.packaged.archive.sha256)
        (event,) = eventually(lambda: system.told(ROLLED_BACK, bad.version), seconds=SECONDS)
    assert set(traffic.models) == {name(second)}, "known lines told"
    assert any("known lines right" in reason for reason in event["payload"]["reasons"])
    assert event["payload"]["restored"] == second.version
    assert (system.stages()["champion"], system.answering()) == (second.version, name(second))


def test_forged_old_and_repeated_announcements_change_nothing(
    system: System, first: ModelReady, second: ModelReady
) -> None:
    before, stages = len(system.releases()), system.stages()
    with httpx.Client(base_url=system.api.base_url, trust_env=False) as nobody:
        assert system.say(second.version, second.packaged.archive.sha256, api=nobody).status_code in (401, 403)
    sayings = [(second.version, "f" * 64), (first.version, first.packaged.archive.sha256)]
    for version, digest in sayings:
        system.say(version, digest).raise_for_status()
    system.say(second.version, second.packaged.archive.sha256, count=1000).raise_for_status()
    runs = system.settle(before + 3)
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    assert (system.stages(), system.answering()) == (stages, name(second))
    assert len(system.told(RELEASED, second.version)) == 1


def test_a_rollback_is_one_command_and_the_version_before_is_the_champion_again(
    system: System, first: ModelReady, second: ModelReady
) -> None:
    assert system.answering() == name(second)
    cut_off = replace(system.laptop, settings={"LOOPLINE_REGISTRY__URL": str(system.laptop.home / "cut-off.git")})
    shutil.copytree(system.laptop.home / "registry.git", system.laptop.home / "cut-off.git")
    hook = system.laptop.home / "cut-off.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert cut_off.call("rollback").code == 1
    assert system.answering() == name(first), "at once, whatever the registry says"
    told = system.laptop.call("rollback")
    assert f"{second.version} was taken back, {first.version} answers" in told.out, told.log
    assert system.answering() == name(first)
    assert (system.stages()["champion"], system.stages()["laptop"]) == (first.version, first.version)
    (event,) = eventually(lambda: system.told(ROLLED_BACK, second.version))
    assert event["payload"]["reasons"] == ["it was taken back by hand"]
    again = system.laptop.call("rollback")
    assert (again.code, "no earlier version" in again.log) == (2, True)


@contextmanager
def meddling_with_the_candidate(system: System, meddle: Callable[[list[psutil.Process]], object]) -> Iterator[None]:
    """From the moment on that live pictures reach it, do something to the processes of the version on trial."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            routes = read_routes(system.laptop.home)
            if routes and routes.trial:
                candidate = f"reader-{routes.trial}"
                meddle([process for name, process in supervised_processes(system.laptop.home) if name == candidate])

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join(30)


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def hold_up(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.suspend()
    time.sleep(0.4)
    for process in processes:
        process.resume()


@pytest.mark.parametrize(("meddle", "reason"), [(kill, "it failed on"), (hold_up, "it answers within")])
def test_a_version_that_dies_or_dawdles_on_trial_is_taken_back_and_everybody_is_answered(
    meddle: Callable[[list[psutil.Process]], object],
    reason: str,
    system: System,
    first: ModelReady,
    second: ModelReady,
    tmp_path: Path,
) -> None:
    assert system.answering() == name(first)
    subprocess.run(["git", "clone", "--quiet", system.laptop.home / "registry.git", tmp_path], check=True)
    champion = ["assign", "handwriting", "--version", second.version, "--stage", "champion", "--force", "--push"]
    me = {f"GIT_COMMITTER_{name}": "tests@example.com" for name in ("NAME", "EMAIL")}
    gto = [Path(sys.executable).parent / "gto", *champion]
    subprocess.run(gto, cwd=tmp_path, env=os.environ | me, check=True, capture_output=True)
    with meddling_with_the_candidate(system, meddle), system.traffic() as traffic:
        told = system.laptop.call("release", "--share", "0.5")
    assert (told.code, reason in told.out) == (3, True), told.out + told.log
    assert (system.stages()["champion"], system.answering()) == (first.version, name(first))
    assert traffic.models[name(first)] > traffic.models[name(second)]


def test_subscribers_that_were_down_are_told_again(system: System, second: ModelReady) -> None:
    count = len(system.told(READY, second.version))
    today = datetime.now(UTC).date().isoformat()
    done = system.laptop.call("events", "replay", "--since", today, "--event", READY)
    told = re.fullmatch(r"(\d+) events were told again", done.out.strip())
    assert told and int(told[1]) >= 2, done.log
    eventually(lambda: len(system.told(READY, second.version)) > count)
    for wrong, words in {
        ("--since", "soon"): "neither a day nor a time",
        ("--since", today, "--event", "x"): "choose",
    }.items():
        refused = system.laptop.call("events", "replay", *wrong)
        assert (refused.code, words in refused.log) == (2, True)


def test_what_waits_in_the_outbox_is_told_by_housekeeping(system: System, first: ModelReady) -> None:
    sent = next((system.laptop.home / "store" / "loopline" / "events" / "sent" / RELEASED).glob("*.json"))
    lost = sent.parents[2] / "unsent" / sent.name
    lost.parent.mkdir(exist_ok=True)
    sent.rename(lost)
    never_kept = next((sent.parents[1] / READY).glob("*.json"))
    never_kept.unlink()
    late = sent.parents[3] / "captured" / "dt=2025-01-01" / f"20250101-{'0' * 20}-{'0' * 32}.png"
    late.parent.mkdir(parents=True)
    late.write_bytes(b"over its days")
    deployment = system.api.get("/deployments/name/housekeeping/housekeeping").json()["id"]
    run = system.ask(f"/deployments/{deployment}/create_flow_run")["id"]
    eventually(lambda: system.api.get(f"/flow_runs/{run}").json()["end_time"], seconds=SECONDS)
    assert system.api.get(f"/flow_runs/{run}").json()["state_type"] == "COMPLETED"
    assert sent.exists() and never_kept.exists() and not lost.exists() and not late.exists()


def test_a_run_that_was_killed_before_its_first_heartbeat_becomes_crashed(system: System, first: ModelReady) -> None:
    mending = system.api.get("/deployments/name/mend-runs/mend-runs").json()["id"]
    killed = system.ask(
        "/flow_runs/", flow_id=system.releases()[0]["flow_id"], tags=["loopline"], state={"type": "RUNNING"}
    )["id"]
    call = system.ask("/task_runs/", flow_run_id=killed, task_key="call", dynamic_key="0")["id"]
    flow = system.releases()[0]["flow_id"]
    called = system.ask("/flow_runs/", flow_id=flow, parent_task_run_id=call, state={"type": "RUNNING"})["id"]
    run = system.ask(f"/deployments/{mending}/create_flow_run", parameters={"silence_seconds": 1})["id"]
    eventually(lambda: system.api.get(f"/flow_runs/{run}").json()["end_time"], seconds=SECONDS)
    states = [system.api.get(f"/flow_runs/{one}").json()["state"] for one in (run, killed, called)]
    assert [state["type"] for state in states] == ["COMPLETED", "CRASHED", "CRASHED"]
    assert states[1]["message"] == "no heartbeat for 1 s"


def test_no_secret_stands_anywhere_but_where_the_addresses_are(system: System, second: ModelReady) -> None:
    home, addresses = system.laptop.home, LaptopAddresses.read(system.laptop.home)
    ours = (addresses.prefect_auth, addresses.store_secret_key, addresses.reader_key)
    secrets = [*(one.get_secret_value() for one in ours), CANARY]
    shown = json.dumps([system.releases(), system.ask("/flow_runs/filter"), system.ask("/artifacts/filter")])
    assert not [secret for secret in secrets if secret in shown]
    found = [subprocess.run(["grep", "-rlF", one, str(home)], capture_output=True, text=True) for one in secrets]
    assert [one.stdout.split() for one in found] == [[str(LaptopAddresses.path(home))]] * len(ours) + [[]]
    archives = [path for path in home.rglob("*.zip") if zipfile.is_zipfile(path)]
    assert any("comet" in path.parts for path in archives) and any("packages" in path.parts for path in archives)
    for archive in map(zipfile.ZipFile, archives):
        assert not [name for name in archive.namelist() for one in secrets if one.encode() in archive.read(name)]
