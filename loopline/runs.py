"""A training run's files in the store, so that another machine can go on where this one stopped.

runs/<digest>/state.json names the checkpoint and weights of the last whole epoch by their digests; it is written after
them, so a kill at any line leaves a state that can be resumed.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from loopline.clients.store import Store
from loopline.contracts import Artifact, Contract
from loopline.errors import DataError, IntegrityError, LooplineError


class RunState(Contract):
    """The files of a run after some epoch."""

    epoch: int
    checkpoint: Artifact
    weights: Artifact


class RunFolder:
    """One run, here and in the store."""

    def __init__(self, store: Store, digest: str, *, runs: Path) -> None:
        self.store, self.prefix, self.path = store, f"runs/{digest}", runs / digest
        self.checkpoint, self.weights = self.path / "last.ckpt", self.path / "best.safetensors"
        self._best: Artifact | None = None

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
        except (IntegrityError, DataError):
            self.checkpoint.unlink(missing_ok=True)
            return None
        self._best = state.weights
        return state.epoch

    def keep(self, epoch: int, *, improved: bool) -> None:
        """Store the files of an epoch."""
        if improved or self._best is None:
            self._best = self.store.put(self.weights, f"{self.prefix}/weights-{epoch}.safetensors")
        checkpoint = self.store.put(self.checkpoint, f"{self.prefix}/epoch-{epoch}.ckpt")
        state = RunState(epoch=epoch, checkpoint=checkpoint, weights=self._best)
        self.store.write(f"{self.prefix}/state.json", state.model_dump_json().encode())
        self.store.delete(f"{self.prefix}/epoch-{epoch - 1}.ckpt")

    def finish(self, curve: str) -> tuple[Artifact, Artifact]:
        """Keep curve and TensorBoard files; return the artifacts of the best weights and of the curve."""
        if self._best is None:
            raise LooplineError(f"{self.prefix}: no epoch was finished")
        for path in sorted((self.path / "tensorboard").glob("*")):
            self.store.put(path, f"{self.prefix}/tensorboard/{path.name}")
        return self._best, self.store.put(curve.encode(), f"{self.prefix}/curve.jsonl")


def run_digest(dataset: Contract, plan: Contract, sources: Mapping[str, str]) -> str:
    """Name a run by what its weights follow from: content, plan and code."""
    document = json.dumps([dataset.digest, plan.digest, dict(sources)], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()
