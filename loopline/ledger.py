"""What the registry's tags and documents say: which versions there are, what they are made of, who is champion."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import Field, TypeAdapter

from loopline.clients.git import Clone
from loopline.contracts import DatasetVersion, HeldBack, ModelReady
from loopline.errors import IntegrityError

Judged = ModelReady | HeldBack


@dataclass(frozen=True)
class RegisteredModel:
    """A model's version and the stages it holds."""

    judged: Judged
    stages: tuple[str, ...]


def problems(clone: Clone) -> list[str]:
    """Return the names of all problems that have a version."""
    found = (re.fullmatch(r"dataset/([^/]+)/v\d+|([^/@#]+)@v\d+\.0\.0", name) for name in clone.tags())
    return sorted({match[1] or match[2] for match in found if match})


def read_datasets(clone: Clone, problem: str) -> list[DatasetVersion]:
    """Return every version, oldest first; IntegrityError if one can't be read."""
    versions = []
    for tag in _dataset_tags(clone, problem):
        with _document(clone, f"datasets/{problem}/version.json", tag=tag) as fields:
            versions.append(DatasetVersion.model_validate({**fields, "name": tag.name, "git_revision": tag.revision}))
    return versions


def read_models(clone: Clone, problem: str) -> list[RegisteredModel]:
    """Return every version, oldest first; IntegrityError if one can't be read."""
    holders = _stage_holders(clone, problem)
    adapter: TypeAdapter[Judged] = TypeAdapter(Annotated[Judged, Field(discriminator="outcome")])
    models = []
    for tag in _model_tags(clone, problem):
        with _document(clone, f"models/{problem}/model.json", tag=tag) as fields:
            judged = adapter.validate_python({**fields, "version": tag.name.partition("@")[2]})
            stages = tuple(stage for stage, revision in holders.items() if revision == tag.revision)
            models.append(RegisteredModel(judged, stages))
    return models


def next_dataset(clone: Clone, problem: str) -> str:
    """Return the tag of the dataset version to come, such as dataset/handwriting/v4."""
    return f"dataset/{problem}/v{_next_number(_dataset_tags(clone, problem))}"


def next_model(clone: Clone, problem: str) -> str:
    """Return the model version to come, such as v4.0.0."""
    return f"v{_next_number(_model_tags(clone, problem))}.0.0"


class _Tag(NamedTuple):
    number: int
    name: str
    revision: str


def _dataset_tags(clone: Clone, problem: str) -> list[_Tag]:
    return _numbered(clone, rf"dataset/{problem}/v(\d+)")


def _model_tags(clone: Clone, problem: str) -> list[_Tag]:
    return _numbered(clone, rf"{problem}@v(\d+)\.0\.0")


def _stage_holders(clone: Clone, problem: str) -> dict[str, str]:
    """Return each stage's revision: by GTO's counter, since the times of tags follow every machine's own clock."""
    holders: dict[str, str] = {}
    for tag in _numbered(clone, rf"{problem}#\w+!?#(\d+)"):
        stage = tag.name.split("#")[1]
        if stage.endswith("!"):
            holders.pop(stage[:-1], None)
        else:
            holders[stage] = tag.revision
    return holders


def _numbered(clone: Clone, pattern: str) -> list[_Tag]:
    """Return the tags of a pattern, whose one group is their number, by that number."""
    matches = ((re.fullmatch(pattern, name), revision) for name, revision in clone.tags().items())
    return sorted(_Tag(int(match[1]), match[0], revision) for match, revision in matches if match)


def _next_number(tags: list[_Tag]) -> int:
    return tags[-1].number + 1 if tags else 1


@contextmanager
def _document(clone: Clone, path: str, *, tag: _Tag) -> Iterator[dict[str, Any]]:
    try:
        yield json.loads(clone.read(path, tag.revision) or b"")
    except (ValueError, KeyError) as error:
        raise IntegrityError(
            f"{path} of {tag.name} in the registry is not as this release of Loopline writes it"
        ) from error
