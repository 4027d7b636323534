"""A Label Studio project of its own for each test: images in a real store, people, and what they say."""

import functools
import hashlib
import io
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from label_studio_sdk.client import LabelStudio as Sdk
from PIL import Image
from pydantic import SecretStr

from loopline.captured_tasks import CapturedImage
from loopline.clients.label_studio import LabelStudio, Project
from loopline.clients.store import Store
from loopline.contracts import Artifact, DatasetVersion, LabeledDataset, Offer, RawDataset, Suspects
from loopline.guessing import Guesser
from loopline.intake import take_images
from loopline.labels import SCHEMA
from loopline.manifest import read_manifest, write_manifest
from loopline.mirror import documents, refresh
from loopline.offering import offer
from loopline.orders import LabelPlan
from loopline.problems import load_problem
from loopline.project_labels import take_project
from loopline.settings import LabelStudioSettings, Settings
from loopline.suspects import SCHEMA as SUSPECT_SCHEMA
from loopline.suspicions import Suspicion, Suspicions

PROBLEM = load_problem("handwriting")
SUSPECTS = "label-studio/handwriting/suspects.json"
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


def suspected(
    store: Store, dataset: DatasetVersion, *, labels: Mapping[str, str], of_count: int | None = None
) -> Suspects:
    """Suspects as models leave them: each of these labels, by image, is read with a 7 at its end."""
    rows = [
        {"image_sha256": image, "key": f"{image}.png", "label": label, "text": f"{label}7", "score": 3.0}
        for image, label in labels.items()
    ]
    return Suspects(
        dataset=dataset,
        folds=3,
        epochs=1,
        manifest=write_manifest(store, pa.Table.from_pylist(rows, schema=SUSPECT_SCHEMA)),
        line_count=len(rows),
        suspect_count=len(rows) if of_count is None else of_count,
        unjudged_count=0,
    )


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

    def showing_from(self, url: str) -> "Bench":
        """Return the same bench, whose annotators are to see images from another address of the store."""
        access = self.access.model_copy(update={"store_endpoint": url})
        return replace(self, settings=self.settings.model_copy(update={"label_studio": access}))

    def signed_in_with(self, token: SecretStr) -> "Bench":
        """Return the same bench, whose client has another token."""
        access = self.access.model_copy(update={"api_key": token})
        return replace(self, settings=self.settings.model_copy(update={"label_studio": access}))

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

    def offer(
        self, *names: str, guesser: Guesser | None = None, captured: Sequence[CapturedImage] = (), **plan: Any
    ) -> Offer:
        """Put images there and offer all that have no label."""
        return offer(
            self.store,
            self.client,
            raw=self.put(*names) if names else self.raw,
            plan=self.plan.model_copy(update=plan),
            problem=PROBLEM,
            guesser=guesser,
            labelled=(),
            shown_from=self.settings.shown_store(),
            captured=captured,
        )

    def put_labels(self, labels: Mapping[str, str]) -> None:
        """Write the labels.json beside the images."""
        named = {f"{name}.png": text for name, text in labels.items()}
        self.store.write(f"{self.source}/labels.json", json.dumps(named).encode())

    def suspect(self, name: str, label: str) -> None:
        """Let a model doubt one label, and no other."""
        digest = hashlib.sha256(picture(name)).hexdigest()
        doubt = Suspicion(image_sha256=digest, label=label, text=f"{label}7", since=datetime.now(UTC))
        nowhere = Artifact(sha256="0" * 64, size_bytes=0, uri="nowhere")
        kept = Suspicions(manifest=nowhere, most=9, current=(doubt,))
        self.store.write(SUSPECTS, kept.model_dump_json().encode())

    def forget_suspects(self) -> None:
        self.store.delete(SUSPECTS)

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
