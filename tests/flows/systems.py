"""A laptop with a worker, as tests ask and watch it: builds, announcements, releases, traffic."""

import random
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from laptops import Laptop, eventually

from loopline import commands
from loopline.client import Client
from loopline.contracts import ModelReady
from loopline.evaluation import opponent_of
from loopline.laptop_addresses import LaptopAddresses
from loopline.settings import Settings

COUNTS = {"train": 500, "validation": 24, "test": 60}
READS = ("channels=16", "hidden=48", "layers=1", "batch_size=8", "learning_rate=0.006")  # most lines, in seconds
RECIPE = {key: float(value) if "." in value else int(value) for key, value in (one.split("=") for one in READS)}
READY, HELD_BACK = "loopline.model.ready", "loopline.model.held_back"
RELEASED, ROLLED_BACK = "loopline.model.released", "loopline.model.rolled_back"
SECONDS = 300
CANARY = "canary-5ea1ed-in-no-archive"  # a key that must be written nowhere


@dataclass
class System:
    """A laptop with a worker on which everything is deployed, and whose service answers."""

    laptop: Laptop
    api: httpx.Client
    lines: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.laptop.home, _env_file=None)

    def build(self, *values: str, laptop: Laptop | None = None, source: str = "inbox/lines") -> ModelReady:
        arguments = [part for value in (*READS, *values) for part in ("--set", value)]
        requirements = self.laptop.home / "any.yaml"
        requirements.write_text("bounds: [{metric: cer, at_most: 100}]\n")
        chosen = ["--source", source, "--requirements", str(requirements), "--json"]
        done = (laptop or self.laptop).call("run", *chosen, *arguments)
        assert done.code == 0, done.log
        return ModelReady.model_validate_json(done.out)

    def announce_unjudged(self, bad: ModelReady) -> ModelReady:
        """Bring a model past the gate, and say that it is ready."""
        registry, store = commands.registry(self.settings), commands.store(self.settings)
        champion = registry.champion("handwriting")
        assert champion
        report = bad.packaged.report.model_copy(update={"champion": opponent_of(champion.judged)})
        draft = bad.model_copy(update={"packaged": bad.packaged.model_copy(update={"report": report}), "version": ""})
        with tempfile.TemporaryDirectory() as folder:
            judged = registry.commit_model(draft, store.fetch(bad.packaged.archive, Path(folder) / "package.zip"))
        assert isinstance(judged, ModelReady)
        return judged

    def ask(self, path: str, **document: Any) -> Any:
        return self.api.post(path, json=document).raise_for_status().json()

    def told(self, event: str, version: str) -> list[dict[str, Any]]:
        found = self.ask("/events/filter", filter={"event": {"name": [event]}})["events"]
        return [one for one in found if one["payload"]["version"] == version]

    def say(self, version: str, digest: str, *, count: int = 1, api: httpx.Client | None = None) -> httpx.Response:
        """Say that a model is ready, as anybody may who can write to the server."""
        payload = {"problem": "handwriting", "version": version, "package_sha256": digest}
        event = {"event": READY, "id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat()}
        event |= {"resource": {"prefect.resource.id": "loopline.model.handwriting"}, "payload": payload}  # type: ignore[dict-item]
        return (api or self.api).post("/events", json=[event] * count)

    def releases(self) -> list[dict[str, Any]]:
        deployment = self.api.get("/deployments/name/release-model/release-model").json()["id"]
        found: list[dict[str, Any]] = self.ask("/flow_runs/filter", deployments={"id": {"any_": [deployment]}})
        return found

    def settle(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many releases have come to an end, and return them."""

        def ended() -> list[dict[str, Any]]:
            runs = self.releases()
            return runs if len(runs) == count and all(run["end_time"] for run in runs) else []

        return eventually(ended, seconds=SECONDS)

    def plan(self, deployment: str, schedule: dict[str, Any]) -> str:
        """Add a schedule; the server plans what was changed just now within seconds, and the rest each minute."""
        added = self.api.post(f"/deployments/{deployment}/schedules", json=[schedule]).raise_for_status()
        same = {"tags": self.api.get(f"/deployments/{deployment}").json()["tags"]}
        self.api.patch(f"/deployments/{deployment}", json=same).raise_for_status()
        planned: str = added.json()[0]["id"]
        return planned

    def answering(self) -> str:
        with self.client() as client:
            return client.model().model

    def client(self) -> Client:
        addresses = LaptopAddresses.read(self.laptop.home)
        return Client(addresses.reader_url, addresses.reader_key.get_secret_value(), capture=False)

    def stages(self) -> dict[str, str]:
        models = commands.registry(self.settings).models("handwriting")
        return {stage: model.judged.version for model in models for stage in model.stages}

    @contextmanager
    def traffic(self) -> Iterator["Traffic"]:
        """Have pictures read all the time, one after the other."""
        traffic, ended = Traffic(), threading.Event()
        pictures = sorted((self.lines / "images").glob("*.png"))

        def ask() -> None:
            with self.client() as client:
                while not ended.is_set():
                    traffic.models[client.read(random.choice(pictures)).model] += 1
                    time.sleep(0.02)

        asking = threading.Thread(target=ask)
        asking.start()
        yield traffic
        ended.set()
        asking.join(30)


@dataclass
class Traffic:
    """How many pictures each model answered; any failure ends the test's thread, and so the count."""

    models: Counter[str] = field(default_factory=Counter)


def name(judged: ModelReady) -> str:
    return f"handwriting:{judged.packaged.archive.sha256[:12]}"
