"""The registry: datasets and models under version numbers that, once given, mean the same bytes for ever.

    datasets/<problem>/   version.json, manifest.parquet.dvc, shards/<16 hex of sha256>.parquet.dvc (append-only)
    models/<problem>/     model.json, package.zip.dvc
    tags                  dataset/<problem>/v3 and, by GTO, <problem>@v3.0.0, <problem>#champion#7, <problem>#previous#8

Bytes are pushed before git names them, and commit and tag are one push: killed at any line and run again, nothing is
lost or numbered twice.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loopline.clients.dvc import SKELETON, DvcRemote, Tracked, artifact
from loopline.clients.git import Clone, GitRegistry
from loopline.contracts import Artifact, DatasetVersion, ModelReady
from loopline.errors import ConfigError, ConflictError, DataError, IntegrityError
from loopline.ledger import Judged, RegisteredModel, next_dataset, next_model, problems, read_datasets, read_models
from loopline.settings import RegistrySettings, StoreSettings


class Registry:
    """Datasets and models, numbered by git, their bytes in the store under DVC.

    Any method may raise UnreachableError or AccessError, for the git repository or the store.
    """

    def __init__(self, settings: RegistrySettings, store: StoreSettings, *, home: Path) -> None:
        scratch = home / "cache" / "registry"
        self._git = GitRegistry(settings.url, scratch=scratch)
        self._dvc = DvcRemote(store, scratch=scratch)

    def artifact(self, path: Path) -> Artifact:
        """Describe a file as it will lie in the store once it is committed."""
        return artifact(path)

    def datasets(self, problem: str) -> list[DatasetVersion]:
        """Return every version, oldest first."""
        with self._git.clone() as clone:
            return read_datasets(clone, problem)

    def dataset(self, problem: str, name: str) -> DatasetVersion:
        """Return a version by its name (`v1`, `1` or its tag); ConfigError for an unknown one."""
        return _named(self.datasets(problem), problem, name)

    def commit_dataset(self, draft: DatasetVersion, *, files: Mapping[str, Path]) -> DatasetVersion:
        """Give a draft (without name and git_revision) the next number; what is known already keeps the one it has.

        `files` maps the sha256 of the manifest and of each new shard to where it lies on this machine.
        """
        with self._git.clone() as clone:
            if known := _same_dataset(clone, draft):
                return known
        wanted = _dataset_files(draft)
        pointers = self._upload({path: item for path, item in wanted.items() if item.sha256 in files}, files)

        def step(clone: Clone) -> DatasetVersion:
            if known := _same_dataset(clone, draft):
                return known
            folder = f"datasets/{draft.problem}"
            for path in wanted:
                is_known = path.startswith("shards/") and clone.read(f"{folder}/{path}.dvc") is not None
                if f"{path}.dvc" not in pointers and not is_known:
                    raise DataError(f"{path} is neither among the new files nor in the registry; make the dataset anew")
            name = next_dataset(clone, draft.problem)
            document = draft.model_dump(mode="json", exclude={"name", "git_revision"})
            _commit(clone, folder, {**pointers, "version.json": _json(document)}, message=name)
            clone.tag(name, ", ".join(f"{count} {split}" for split, count in draft.split_sizes.items()))
            clone.push()
            return draft.model_copy(update={"name": name, "git_revision": clone.revision})

        return self._git.decide(step)

    def restore_dataset(self, problem: str, name: str, *, target: Path) -> DatasetVersion:
        """Bring a version (`v1`, `1` or its tag) back bit for bit: manifest.parquet and shards/ in an empty folder.

        ConfigError for an unknown version or a folder in use; IntegrityError names the first file that is not what it
        was, and nothing is placed.
        """
        with self._git.clone() as clone:
            version = _named(read_datasets(clone, problem), problem, name)
            tracked = [
                Tracked(path, _pointer(clone, f"datasets/{problem}/{path}.dvc", version.git_revision), item)
                for path, item in _dataset_files(version).items()
            ]
        self._dvc.download(tracked, target)
        return version

    def versions(self) -> list[DatasetVersion | Judged]:
        """Return every version of every problem; IntegrityError if one can't be read."""
        with self._git.clone() as clone:
            found: list[DatasetVersion | Judged] = []
            for problem in problems(clone):
                found += read_datasets(clone, problem)
                found += [model.judged for model in read_models(clone, problem)]
            return found

    def models(self, problem: str) -> list[RegisteredModel]:
        """Return every version, oldest first."""
        with self._git.clone() as clone:
            return read_models(clone, problem)

    def champion(self, problem: str) -> RegisteredModel | None:
        """Return the version that serves."""
        return _champion(self.models(problem))

    def commit_model(self, judged: Judged, archive: Path) -> Judged:
        """Give a judged package (its version empty) the next number, such as v3.0.0; what is known keeps its own.

        A ModelReady becomes champion in the same push, in place of the champion that its report met, which becomes
        `previous`; ConflictError, and no version, if the champion is another by now.
        """
        package = judged.packaged.archive
        if known := _same_model(self.models(judged.problem), judged):
            return known.judged
        pointers = self._upload({"package.zip": package}, {package.sha256: archive})

        def step(clone: Clone) -> Judged:
            models = read_models(clone, judged.problem)
            if known := _same_model(models, judged):
                return known.judged
            version = next_model(clone, judged.problem)
            document = judged.model_dump(mode="json", exclude={"version"})
            files = {**pointers, "model.json": _json(document)}
            _commit(clone, f"models/{judged.problem}", files, message=f"{judged.problem} {version}: {judged.outcome}")
            clone.register(judged.problem, version)
            if isinstance(judged, ModelReady):
                _promote(clone, judged, version, champion=_champion(models))
            clone.push()
            return judged.model_copy(update={"version": version})

        return self._git.decide(step)

    def release(self, problem: str, version: str, *, target: str) -> str | None:
        """Note that a version answers at a target, which is a stage; return the version that did so before, if any."""

        def step(clone: Clone) -> str | None:
            before = _holder(read_models(clone, problem), target)
            if before != version:
                clone.assign(problem, target, version=version)
                clone.push()
            return before

        return self._git.decide(step)

    def withdraw(self, problem: str, version: str, *, target: str, restored: str | None) -> None:
        """Take championship and target from a version that failed there, and give them to the one that answers instead.

        What another run decided meanwhile stays: a newer champion is not touched.
        """

        def step(clone: Clone) -> None:
            models = read_models(clone, problem)
            stages = [stage for stage in ("champion", target) if _holder(models, stage) == version]
            for stage in stages:
                if restored:
                    clone.assign(problem, stage, version=restored)
                else:
                    clone.unassign(problem, stage, version=version)
            if stages:
                clone.push()

        self._git.decide(step)

    def _upload(self, wanted: Mapping[str, Artifact], files: Mapping[str, Path]) -> dict[str, bytes]:
        for path, item in wanted.items():
            if artifact(files[item.sha256]).sha256 != item.sha256:
                raise IntegrityError(f"{path} changed on this machine before it was committed; run again")
        return self._dvc.upload({path: files[item.sha256] for path, item in wanted.items()})


def _named(versions: Sequence[DatasetVersion], problem: str, name: str) -> DatasetVersion:
    tag = name if "/" in name else f"dataset/{problem}/v{name.removeprefix('v')}"
    found = next((version for version in versions if version.name == tag), None)
    if found is None:
        known = ", ".join(version.name for version in versions) or "none yet"
        raise ConfigError(f"there is no {tag}; choose one of: {known}")
    return found


def _same_dataset(clone: Clone, draft: DatasetVersion) -> DatasetVersion | None:
    return next((version for version in read_datasets(clone, draft.problem) if version.digest == draft.digest), None)


def _dataset_files(version: DatasetVersion) -> dict[str, Artifact]:
    shards = {f"shards/{shard.sha256[:16]}.parquet": shard for shard in version.shards}
    return {"manifest.parquet": version.manifest, **shards}


def _same_model(models: list[RegisteredModel], judged: Judged) -> RegisteredModel | None:
    """The same package may come with another verdict when the requirements changed: that is another version."""

    def key(found: Judged) -> tuple[str, str]:
        return found.outcome, found.packaged.archive.sha256

    return next((model for model in models if key(model.judged) == key(judged)), None)


def _promote(clone: Clone, judged: ModelReady, version: str, *, champion: RegisteredModel | None) -> None:
    current, met = champion and champion.judged.version, judged.packaged.report.champion
    if current != (met and met.version):
        raise ConflictError(
            f"the champion of {judged.problem} is {current} by now, and this model was judged beside "
            f"{met.version if met else 'none'}; run again, and only the judgement is repeated"
        )
    clone.assign(judged.problem, "champion", version=version)
    if current:
        clone.assign(judged.problem, "previous", version=current)


def _champion(models: list[RegisteredModel]) -> RegisteredModel | None:
    return next((model for model in models if "champion" in model.stages), None)


def _holder(models: list[RegisteredModel], stage: str) -> str | None:
    return next((model.judged.version for model in models if stage in model.stages), None)


def _pointer(clone: Clone, path: str, revision: str) -> bytes:
    content = clone.read(path, revision)
    if content is None:
        raise IntegrityError(f"{path} is missing in the registry at {revision[:10]}")
    return content


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _commit(clone: Clone, folder: str, files: Mapping[str, bytes], *, message: str) -> None:
    skeleton = SKELETON if clone.read(".dvc/config") is None else {}
    clone.commit({**skeleton, **{f"{folder}/{path}": content for path, content in files.items()}}, message)
