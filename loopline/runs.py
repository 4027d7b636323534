"""A training run's files in the store, so that another machine can go on where this one stopped.

runs/<digest>/state.json names the checkpoint and weights of the last whole epoch by their digests, and how long the
record and TensorBoard's files were then; it is written after them, so a kill at any line leaves a state that can be
resumed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from loopline.clients.store import Store
from loopline.contracts import Artifact, Contract
from loopline.errors import DataError, IntegrityError, LooplineError

LOGS = ("record-*.jsonl", "files/*", "tensorboard/*")  # only ever appended to, or named by their content
LogName = Annotated[str, Field(pattern=r"^((files|tensorboard)/)?[^/.][^/]*$")]  # below the run's folder, never above


class RunState(Contract):
    """The files of a run after some epoch."""

    epoch: int
    checkpoint: Artifact
    weights: Artifact
    logs: dict[LogName, int] = Field(default_factory=dict, description="Bytes of each file that is only appended to.")


class RunFolder:
    """One run, here and in the store."""

    def __init__(self, store: Store, digest: str, *, runs: Path) -> None:
        self.store, self.prefix, self.path = store, f"runs/{digest}", runs / digest
        self.checkpoint, self.weights = self.path / "last.ckpt", self.path / "best.safetensors"
        self._best: Artifact | None = None
        self._kept: dict[str, int] = {}

    def resume(self) -> int | None:
        """Bring the state of an interrupted run here; return its last whole epoch, or None for a new run.

        A state whose files are gone or altered is no state: the run starts anew.
        """
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        if not self.store.exists(f"{self.prefix}/state.json"):
            return None
        state = RunState.model_validate_json(self.store.read(f"{self.prefix}/state.json"))
        try:
            self.store.fetch(state.checkpoint, self.checkpoint)
            self.store.fetch(state.weights, self.weights)
            self._fetch_logs(state.logs)
        except (IntegrityError, DataError):
            shutil.rmtree(self.path)
            self.path.mkdir()
            return None
        self._best = state.weights
        return state.epoch

    def keep(self, epoch: int, *, improved: bool) -> None:
        """Store the files of an epoch."""
        if improved or self._best is None:
            self._best = self.store.put(self.weights, f"{self.prefix}/weights-{epoch}.safetensors")
        checkpoint = self.store.put(self.checkpoint, f"{self.prefix}/epoch-{epoch}.ckpt")
        self._kept = keep_logs(self.store, self.path, prefix=self.prefix, kept=self._kept)
        state = RunState(epoch=epoch, checkpoint=checkpoint, weights=self._best, logs=self._kept)
        self.store.write(f"{self.prefix}/state.json", state.model_dump_json().encode())
        self.store.delete(f"{self.prefix}/epoch-{epoch - 1}.ckpt")

    def finish(self, curve: str) -> tuple[Artifact, Artifact]:
        """Keep the curve and the last of the logs; return the artifacts of the best weights and of the curve."""
        if self._best is None:
            raise LooplineError(f"{self.prefix}: no epoch was finished")
        keep_logs(self.store, self.path, prefix=self.prefix, kept=self._kept)
        return self._best, self.store.put(curve.encode(), f"{self.prefix}/curve.jsonl")

    def _fetch_logs(self, sizes: Mapping[str, int]) -> None:
        """Bring the logs here as they were at the kept epoch: what is longer comes from an epoch that is repeated."""
        for name, size_bytes in sizes.items():
            self.store.download(f"{self.prefix}/{name}", self.path / name)
            os.truncate(self.path / name, size_bytes)
        self._kept = dict(sizes)


def keep_logs(store: Store, folder: Path, *, prefix: str, kept: Mapping[str, int] | None = None) -> dict[str, int]:
    """Store a run folder's records, their files and TensorBoard's; skip what was `kept` at its present size.

    Returns the size in bytes of each, by its name below the prefix.
    """
    paths = [path for pattern in LOGS for path in folder.glob(pattern) if path.suffix != ".part"]
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in paths}
    new = {f"{prefix}/{name}": folder / name for name, size in sizes.items() if (kept or {}).get(name) != size}
    store.upload_all(new)
    return sizes


def run_digest(dataset: Contract, plan: Contract, sources: Mapping[str, str]) -> str:
    """Name a run by what its weights follow from: content, plan and code."""
    document = json.dumps([dataset.digest, plan.digest, dict(sources)], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()
