"""What a system outlives: its server, its worker or a run's process killed in mid-work."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from laptop_processes import running
from laptops import eventually, steps
from systems import HELD_BACK, RECIPE, SECONDS, System

from loopline import commands

DOWN_SECONDS = 12
SUPERVISORCTL = Path(sys.executable).parent / "supervisorctl"


def order(*, seed: int, epochs: int) -> dict[str, Any]:
    """A build of some seconds that no model passes, so that nothing is released."""
    bounds = [{"metric": "cer", "at_most": 0}]
    plan = {"recipe": RECIPE | {"epochs": epochs}, "seed": seed}
    return {"source": "inbox/lines", "plan": plan, "requirements": {"bounds": bounds}}


def ask_for(system: System, asked: dict[str, Any]) -> str:
    deployment = system.api.get("/deployments/name/build-model/build-model").json()["id"]
    run: str = system.ask(f"/deployments/{deployment}/create_flow_run", parameters={"order": asked})["id"]
    return run


def state(system: System, run: str) -> str:
    found: str = system.api.get(f"/flow_runs/{run}").json()["state_type"]
    return found


def ended(system: System, run: str) -> str:
    eventually(lambda: state(system, run) not in ("RUNNING", "PENDING", "SCHEDULED"), seconds=SECONDS)
    return state(system, run)


def in_mid_training(system: System, run: str) -> None:
    """Wait until a run has written its first epoch down."""
    folder, begun = system.laptop.home / "store" / "loopline" / "runs", time.time()
    eventually(lambda: any(path.stat().st_mtime > begun for path in folder.rglob("*.*")), seconds=SECONDS)
    assert state(system, run) == "RUNNING"


@contextmanager
def without_server(system: System) -> Iterator[None]:
    """Kill the Prefect server, and let the supervisor start it again only afterwards."""
    control = [SUPERVISORCTL, "-s", f"unix://{system.laptop.home}/run/supervisor.sock"]
    (server,) = running(system.laptop.home, "prefect", "server", "start")
    server.kill()
    subprocess.run([*control, "stop", "prefect"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([*control, "start", "prefect"], check=True, capture_output=True)
        eventually(lambda: system.laptop.call("status").out.count("running") >= 3)
        with system.laptop.api() as api:  # its token against forged forms is another now
            system.api.headers.update(api.headers)


def test_a_server_that_is_killed_in_mid_run_costs_the_run_nothing(system: System) -> None:
    run = ask_for(system, order(seed=11, epochs=14))
    in_mid_training(system, run)
    with without_server(system):
        time.sleep(DOWN_SECONDS)
    assert ended(system, run) == "COMPLETED"
    assert steps(system.ask, run)["announce"] == "Completed"


def test_of_what_a_schedule_missed_while_the_server_was_down_one_run_is_made_up_for(system: System) -> None:
    watch = system.api.get("/deployments/name/watch-model/watch-model").json()["id"]
    phase = (datetime.now(UTC) + timedelta(seconds=90)).replace(second=0, microsecond=0)
    rule = f"DTSTART:{phase:%Y%m%dT%H%M%SZ}\nRRULE:FREQ=MINUTELY;INTERVAL=4;BYSECOND=0,2,4"
    schedule = system.plan(watch, {"schedule": {"rrule": rule, "timezone": "UTC"}, "active": True})

    def planned() -> list[dict[str, Any]]:
        return [run for run in of_deployment(system, watch) if run["auto_scheduled"] and due(run) > soon()]

    begin = due(min(eventually(planned, seconds=SECONDS), key=due))
    runs = {run["id"] for run in planned() if due(run) < begin + timedelta(minutes=1)}
    assert len(runs) == 3
    with without_server(system):
        time.sleep((begin - datetime.now(UTC)).total_seconds() + 6)

    def ended_runs() -> list[dict[str, Any]]:
        found = [run for run in of_deployment(system, watch) if run["id"] in runs]
        return found if all(run["end_time"] for run in found) else []

    states = [run["state_type"] for run in eventually(ended_runs, seconds=SECONDS)]
    assert sorted(states) == ["CANCELLED", "CANCELLED", "COMPLETED"]
    system.api.delete(f"/deployments/{watch}/schedules/{schedule}").raise_for_status()


def of_deployment(system: System, deployment: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = system.ask("/flow_runs/filter", deployments={"id": {"any_": [deployment]}})
    return found


def due(run: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(run["expected_start_time"])


def soon() -> datetime:
    """Return until when a worker may have taken what is due: it looks ten seconds ahead."""
    return datetime.now(UTC) + timedelta(seconds=15)


def test_a_run_whose_worker_is_killed_is_called_crashed_and_taken_up_where_it_was(system: System) -> None:
    run = ask_for(system, order(seed=12, epochs=5))
    in_mid_training(system, run)
    (worker,) = running(system.laptop.home, "prefect", "worker")
    worker.kill()
    assert ended(system, run) == "CRASHED"
    assert system.laptop.call("resume", run).code == 0
    eventually(lambda: state(system, run) == "COMPLETED", seconds=SECONDS)
    found = steps(system.ask, run)
    assert found["announce"] == "Completed" and found["version"] == "Cached"


def test_two_builds_of_one_order_at_once_make_one_model(system: System) -> None:
    runs = [ask_for(system, order(seed=14, epochs=3)) for _ in range(2)]
    assert [ended(system, run) for run in runs] == ["COMPLETED", "COMPLETED"]
    states = [steps(system.ask, run) for run in runs]
    assert sorted(found["package_model"] for found in states) == ["Cached", "Completed"]
    versions = [model.judged.version for model in commands.registry(system.settings).models("handwriting")]
    assert len(set(versions)) == len(versions)
    told = system.told(HELD_BACK, versions[-1])
    assert len(told) == 1
