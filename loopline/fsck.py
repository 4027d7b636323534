"""Whether what the registry names is still there, and still what it was.

Quick: every object that a version names is there with its size. Full: each is hashed again, and so is every image of a
dataset, whose name is its hash. Nothing is mended: what is missing or altered comes back from a copy of the bucket.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from loopline.clients.store import Store, in_parallel
from loopline.contracts import Artifact, Contract, DatasetVersion
from loopline.errors import DataError, IntegrityError, LooplineError
from loopline.ledger import RegisteredModel
from loopline.manifest import read_manifest

BLOBS, DVC = "blobs/", "dvc/"
TOGETHER = 10_000  # objects hashed before the next are thought of
MOST_NAMED = 1000  # faults; the rest is counted

Mode = Literal["quick", "full"]


class Fault(Contract):
    """An object that is not as a version needs it."""

    key: str
    needed_by: str
    what: str


class Checked(Contract):
    """What a look at the store came to."""

    problem: str
    mode: Mode
    object_count: int
    size_bytes: int
    missing_count: int
    altered_count: int
    unnamed_count: int
    faults: tuple[Fault, ...]

    @property
    def sentence(self) -> str:
        """Say it in a line."""
        seen = f"{self.object_count} objects, {self.size_bytes / 1e6:.1f} MB: {self.missing_count} missing"
        return f"{seen}, {self.altered_count} altered; {self.unnamed_count} under {DVC} that no version names"


class Named(NamedTuple):
    """An object that a version names; no size where its name alone is known."""

    key: str
    sha256: str
    size_bytes: int | None
    owner: str


def check(
    store: Store, problem: str, *, datasets: Sequence[DatasetVersion], models: Sequence[RegisteredModel], mode: Mode
) -> Checked:
    """Look at all that the versions of a problem name."""
    there = {entry.key: entry.size_bytes for prefix in (BLOBS, DVC) for entry in store.list(prefix)}
    counts: Counter[str] = Counter()
    faults: list[Fault] = []
    named: set[str] = set()
    for some in _batches(_new(_named(store, datasets, models), seen=named)):
        for one, wrong in zip(some, _look(store, some, there, mode=mode), strict=True):
            counts["objects"] += 1
            counts["bytes"] += one.size_bytes if one.size_bytes is not None else there.get(one.key, 0)
            if wrong:
                counts[wrong.split(" ")[0]] += 1
                faults.append(Fault(key=one.key, needed_by=one.owner, what=wrong))
    return Checked(
        problem=problem,
        mode=mode,
        object_count=counts["objects"],
        size_bytes=counts["bytes"],
        missing_count=counts["missing"],
        altered_count=counts["altered"],
        unnamed_count=sum(key.startswith(DVC) and key not in named for key in there),
        faults=tuple(faults[:MOST_NAMED]),
    )


def raise_faults(checked: Checked) -> None:
    """Raise IntegrityError if anything is missing or altered."""
    if checked.faults:
        first, count = checked.faults[0], checked.missing_count + checked.altered_count
        raise IntegrityError(
            f"{count} objects are not what the registry says, such as {first.key}, which {first.needed_by} needs and "
            f"which is {first.what}; bring them back from a copy of the bucket, and run `loopline fsck` again"
        )


def _named(store: Store, datasets: Sequence[DatasetVersion], models: Sequence[RegisteredModel]) -> Iterator[Named]:
    for model in models:
        owner = f"{model.judged.problem} {model.judged.version}"
        yield from (Named(one.uri, one.sha256, one.size_bytes, owner) for one in artifacts(model.judged))
    for version in datasets:
        yield from (Named(one.uri, one.sha256, one.size_bytes, version.name) for one in artifacts(version))
        try:
            images = read_manifest(store, version.manifest)["image_sha256"].unique().to_pylist()
        except LooplineError:  # a fault of the manifest itself, which is told above
            continue
        yield from (Named(f"{BLOBS}{image}", image, None, version.name) for image in images)


def artifacts(value: object) -> Iterator[Artifact]:
    """Yield every artifact in a contract, however deep."""
    if isinstance(value, Artifact):
        yield value
    elif isinstance(value, Contract):
        for name in type(value).model_fields:
            yield from artifacts(getattr(value, name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from artifacts(item)
    elif isinstance(value, dict):
        yield from artifacts(list(value.values()))


def _new(found: Iterable[Named], *, seen: set[str]) -> Iterator[Named]:
    for one in found:
        if one.key not in seen:
            seen.add(one.key)
            yield one


def _batches(found: Iterator[Named]) -> Iterator[list[Named]]:
    while some := list(islice(found, TOGETHER)):
        yield some


def _look(store: Store, some: Sequence[Named], there: Mapping[str, int], *, mode: Mode) -> Iterator[str | None]:
    """Say of each object what is wrong with it: missing or altered, and how."""

    def look(one: Named) -> str | None:
        size = there.get(one.key)
        if size is None and one.key.startswith((BLOBS, DVC)):
            return "missing"
        if mode == "quick" and size is not None:
            right = one.size_bytes is None or size == one.size_bytes
            return None if right else f"altered (it has {size} bytes instead of {one.size_bytes})"
        if mode == "quick":
            return None if store.exists(one.key) else "missing"
        try:
            store.read_artifact(Artifact(sha256=one.sha256, size_bytes=one.size_bytes or 0, uri=one.key))
        except DataError:
            return "missing"
        except IntegrityError:
            return "altered (it has another hash)"
        return None

    return in_parallel(look, some, title="fsck")
