"""A registry of its own for each test, and small things to put into it."""

import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from loopline import contracts as c
from loopline.registry import Registry
from loopline.settings import RegistrySettings, StoreSettings

PROBLEM = "handwriting"
MEET = "touch met.$$; for i in $(seq 400); do [ $(ls met.* | wc -l) -ge 2 ] && break; sleep 0.05; done"


@dataclass(frozen=True)
class Place:
    """A registry with its git repository, its bucket and a folder for local files."""

    folder: Path
    store: StoreSettings

    @property
    def home(self) -> Path:
        return self.folder / "a home, 100% odd"

    @property
    def git(self) -> Path:
        return self.folder / "registry.git"

    @property
    def registry(self) -> Registry:
        return Registry(RegistrySettings(url=str(self.git)), self.store, home=self.home)

    @property
    def environment(self) -> dict[str, str]:
        """What a command's process is told of the place."""
        found, secret = self.store, self.store.secret_key
        assert found.access_key and secret
        others = {name: value for name, value in os.environ.items() if not name.startswith("LOOPLINE_")}
        return others | {
            "LOOPLINE_HOME": str(self.home),
            "LOOPLINE_STORE__ENDPOINT": found.endpoint,
            "LOOPLINE_STORE__BUCKET": found.bucket,
            "LOOPLINE_STORE__PREFIX": found.prefix,
            "LOOPLINE_STORE__ACCESS_KEY": found.access_key,
            "LOOPLINE_STORE__SECRET_KEY": secret.get_secret_value(),
            "LOOPLINE_REGISTRY__URL": str(self.git),
        }

    @property
    def leftovers(self) -> list[Path]:
        return list((self.home / "cache/registry").iterdir())

    def write(self, content: str | bytes) -> Path:
        path = self.folder / uuid.uuid4().hex
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def draft(self, manifest: str, *shards: str) -> tuple[c.DatasetVersion, dict[str, Path]]:
        paths = [self.write(content) for content in (manifest, *shards)]
        first, *rest = [self.registry.artifact(path) for path in paths]
        raw = c.RawDataset(problem=PROBLEM, manifest=first, image_count=3, quarantined_count=0, source="inbox/samples")
        version = c.DatasetVersion(
            problem=PROBLEM,
            manifest=first,
            shards=tuple(rest),
            split_sizes={"train": 1, "val": 1, "test": 1},
            vocabulary=("0", "é"),
            name="",
            git_revision="",
            labeled=c.LabeledDataset(problem=PROBLEM, manifest=first, label_count=3, rejected_count=0, raw=raw),
        )
        return version, {artifact.sha256: path for artifact, path in zip((first, *rest), paths, strict=True)}

    def commit(self, manifest: str, *shards: str) -> c.DatasetVersion:
        version, files = self.draft(manifest, *shards)
        return self.registry.commit_dataset(version, files=files)

    def commit_model(
        self,
        content: str | bytes,
        *,
        ready: bool = True,
        met: str | None = None,
        dataset: c.DatasetVersion | None = None,
    ) -> Any:
        archive = self.write(content)
        package = self.registry.artifact(archive)
        model = c.TrainedModel(
            dataset=dataset or self.draft("manifest", "shard")[0],
            recipe={"epochs": 1},
            seed=1,
            checkpoint=package,
            val_metrics={"cer": 0.5},
            epochs=1,
            curve=package,
            run="runs/any",
            train_seconds=1,
            device="cpu",
        )
        report = c.EvaluationReport(
            model=model,
            split="test",
            sample_count=1,
            metrics={"cer": 0.1},
            interval_95={"cer": (0.0, 0.2)},
            baseline_metrics={"cer": 0.9},
            champion=c.Opponent(version=met, archive=package) if met else None,
            slices=(),
            worst=package,
            details=package,
        )
        packaged = c.PackagedModel(
            report=report,
            archive=package,
            onnx=package,
            metrics=report.metrics,
            interval_95=report.interval_95,
            bento_tag="tag:1",
            size_bytes=1,
            latency_ms=1.5,
            footprint=c.Footprint(latencies=(), peak_memory_mb=100),
        )
        verdict = c.Verdict(findings=(c.Finding(requirement="cer", bound="at most 0.2", measured=0.1, met=ready),))
        kind = c.ModelReady if ready else c.HeldBack
        return self.registry.commit_model(
            kind(problem=PROBLEM, version="", packaged=packaged, verdict=verdict, page=package), archive
        )

    def hook(self, name: str, script: str) -> None:
        self.registry.datasets(PROBLEM)
        path = self.git / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def make_place(server: StoreSettings, folder: Path) -> Place:
    store = server.model_copy(update={"bucket": f"b-{uuid.uuid4().hex[:12]}", "prefix": "team/loopline"})
    s3(store).create_bucket(Bucket=store.bucket)
    return Place(folder, store)


def s3(settings: StoreSettings) -> Any:
    assert settings.secret_key
    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key.get_secret_value(),
    )


def git(*arguments: str, cwd: Path) -> bytes:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True).stdout
