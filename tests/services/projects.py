"""A Label Studio project of its own for each test: images in a real store, people, and what they say."""

import functools
import hashlib
import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from label_studio_sdk.client import LabelStudio as Sdk
from PIL import Image

from loopline.clients.label_studio import LabelStudio, Project
from loopline.clients.store import Store
from loopline.contracts import LabeledDataset, Offer, RawDataset
from loopline.guessing import Guesser
from loopline.intake import take_images
from loopline.labels import SCHEMA
from loopline.manifest import read_manifest
from loopline.mirror import documents, refresh
from loopline.offering import offer
from loopline.orders import LabelPlan
from loopline.problems import load_problem
from loopline.project_labels import take_project
from loopline.settings import LabelStudioSettings, Settings

PROBLEM = load_problem("handwriting")
ANN, BEN, COY = "ann@example.com", "ben@example.com", "coy@example.com"


def picture(name: str) -> bytes:
    """Draw a line of its own for each name: 40 columns of noise and a black stroke."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    pixels = np.random.default_rng(seed).integers(128, 255, (32, 160), dtype=np.uint8)
    pixels[:, 20:30] = 0
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def text_result(text: str, *, field_name: str = "transcription") -> list[dict[str, Any]]:
    value = {"text": [text]}
    return [{"from_name": field_name, "to_name": "image", "type": "textarea", "value": value}]


def quality_result(quality: str) -> list[dict[str, Any]]:
    value = {"choices": [quality]}
    return [{"from_name": "quality", "to_name": "image", "type": "choices", "value": value}]


@dataclass
class Bench:
    """A source, a project, and everybody who works on it."""

    settings: Settings
    title: str = field(default_factory=lambda: f"lines {uuid.uuid4().hex[:8]}")

    @property
    def source(self) -> str:
        return f"inbox/{self.title.replace(' ', '-')}"

    @property
    def store(self) -> Store:
        return Store(self.settings.resolved_store())

    @property
    def access(self) -> LabelStudioSettings:
        return self.settings.resolved_label_studio()

    @property
    def client(self) -> LabelStudio:
        return LabelStudio(self.access)

    @functools.cached_property
    def sdk(self) -> Sdk:
        assert self.access.api_key
        return Sdk(base_url=self.access.url, api_key=self.access.api_key.get_secret_value(), timeout=60)

    def apart(self) -> "Bench":
        """Return the same bench in a store of its own."""
        store = self.settings.store.model_copy(update={"prefix": uuid.uuid4().hex})
        return replace(self, settings=self.settings.model_copy(update={"store": store}))

    def through(self, url: str) -> "Bench":
        """Return the same bench, whose client speaks to another address."""
        return replace(self, settings=self.settings.model_copy(update={"label_studio": self.access_at(url)}))

    def access_at(self, url: str) -> LabelStudioSettings:
        return self.access.model_copy(update={"url": url})

    @property
    def plan(self) -> LabelPlan:
        return LabelPlan(source=self.source, project=self.title, overlap_share=0)

    @property
    def project(self) -> Project:
        found = self.client.find_project(self.title)
        assert found
        return found

    def put(self, *names: str) -> RawDataset:
        self.store.upload_all({f"{self.source}/{name}.png": picture(name) for name in names})
        return self.raw

    @property
    def raw(self) -> RawDataset:
        return take_images(self.store, "handwriting", self.source)

    def offer(self, *names: str, guesser: Guesser | None = None, **plan: Any) -> Offer:
        """Put images there and offer all that have no label."""
        return offer(
            self.store,
            self.client,
            raw=self.put(*names) if names else self.raw,
            plan=self.plan.model_copy(update=plan),
            problem=PROBLEM,
            guesser=guesser,
            labelled=(),
            shown_from=self.settings.resolved_store(),
        )

    def tasks(self) -> dict[str, int]:
        """The tasks as the server has them, by the name of the image; two for one image are an error."""
        found = [(self.name(task.data), task.id) for task in self.sdk.tasks.list(project=self.project.id, fields="all")]
        assert len(dict(found)) == len(found), f"an image has two tasks: {sorted(found)}"
        return dict(found)

    @staticmethod
    def name(data: Mapping[str, Any]) -> str:
        return str(data["key"]).removesuffix(".png")

    def person(self, address: str) -> int:
        known = {user.email: user.id for user in self.sdk.users.list()}
        made = known.get(address) or self.sdk.users.create(email=address, username=address).id
        return int(made)

    def say(self, name: str, result: Any, *, who: str = ANN, **fields: Any) -> int:
        """Let a person answer a task; return the annotation's id. A text stands for its transcription."""
        said = text_result(result) if isinstance(result, str) else result
        made = self.sdk.annotations.create(
            id=self.tasks()[name], result=said, completed_by=self.person(who), lead_time=3.0, **fields
        )
        return int(made.id)

    def mirror(self) -> list[dict[str, Any]]:
        snapshot = refresh(self.store, self.client, problem="handwriting", project=self.project)
        return list(documents(self.store, snapshot))

    def take(self) -> LabeledDataset:
        return take_project(self.store, self.raw, client=self.client, title=self.title, problem=PROBLEM)

    def told(self) -> dict[str, str | None]:
        """The label of each image that can be used, the reason of each that can't, by its name."""
        rows = read_manifest(self.store, self.take().manifest, schema=SCHEMA).to_pylist()
        return {row["key"].removesuffix(".png"): row["rejected"] or row["label"] for row in rows}
