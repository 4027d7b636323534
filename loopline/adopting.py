"""Labels from another Label Studio project come into ours: who said what, once, however often the file is imported.

Each annotation has a name. Label Studio keeps it, short as `import_id` or whole as `unique_id`, and exports it again:
the mirror tells what is there already, and the server itself refuses a second one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from loopline.board import IMAGE, PRIORITY, read_board
from loopline.clients.store import Store
from loopline.contracts import RawDataset
from loopline.errors import DataError
from loopline.exported import ExportedTask, Said
from loopline.exported_images import image_finder
from loopline.labels import told
from loopline.manifest import read_manifest
from loopline.mirror import documents, refresh
from loopline.offering import CHUNK, WRITERS, keep_project
from loopline.orders import LabelPlan
from loopline.problems import Problem
from loopline.sidecars import Row
from loopline.words import Word, import_id, word_of

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio, Project
    from loopline.settings import StoreSettings

NAMED = 3  # of what was left out for one reason, so many are named
ANSWERED = 0.0  # priority of a task that comes with its answer: last in the queue

Named = dict[UUID, Word]  # what was said of one image, as it was said one after another


@dataclass
class Adopted:
    """What came of a file: annotations added and known before, what else had to be made, and what was left out."""

    added_count: int = 0
    known_count: int = 0
    new_task_count: int = 0
    new_people: list[str] = field(default_factory=list)
    unfinished_count: int = 0  # guesses of models and drafts, which are no labels
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def leave(self, reason: str, task: str) -> None:
        """Count what can't be used by its reason, without what follows a colon, and name the first few."""
        kind = reason.partition(":")[0]
        self.left_out[kind] += 1
        if self.left_out[kind] <= NAMED:
            self.examples.append(f"{task}: {reason}")


def adopt(
    store: Store,
    client: "LabelStudio",
    *,
    raw: RawDataset,
    plan: LabelPlan,
    problem: Problem,
    tasks: Iterable[ExportedTask],
    shown_from: "StoreSettings",
) -> Adopted:
    """Add what was said elsewhere to the plan's project; an image that has no task gets one. Repeated, nothing changes.

    People whom the server doesn't know become users, so that two stay two. Raises DataError if nothing in the file can
    be used, and what the client and the store raise; run again, it then goes on.
    """
    adopted, images = Adopted(), read_manifest(store, raw.manifest).to_pylist()
    words = _words(_said(tasks, images, adopted), problem, adopted)
    if not words:
        raise DataError(_nothing(store, raw, adopted))
    project = client.find_project(plan.project) or keep_project(client, plan, problem, shown_from=shown_from)
    snapshot = refresh(store, client, problem=problem.name, project=project)
    fresh = _fresh(words, project, standing=_standing(documents(store, snapshot)), adopted=adopted)
    people = _people(client, {word.said.annotator for some in fresh.values() for word in some.values()}, adopted)
    known = {image: task.id for image, task in read_board(documents(store, snapshot)).tasks.items()}
    new = [row for row in _first(images) if row["image_sha256"] in fresh.keys() - known.keys()]
    _add_tasks(client, project, [_task(store, row, fresh[row["image_sha256"]], people) for row in new], adopted)
    _add_annotations(client, {known[image]: some for image, some in fresh.items() if image in known}, people, adopted)
    return adopted


def _said(tasks: Iterable[ExportedTask], images: Sequence[Row], adopted: Adopted) -> dict[str, list[tuple[str, Said]]]:
    """Return what was said of each image, with the name of the task, as it was said one after another."""
    match = image_finder(images)
    found: defaultdict[str, list[tuple[str, Said]]] = defaultdict(list)
    for task in tasks:
        adopted.unfinished_count += task.unfinished_count
        if task.fault or not task.said:
            adopted.leave(task.fault or "nobody labelled it", task.name)
            continue
        try:
            found[match(task.references)] += [(task.name, said) for said in task.said]
        except DataError as reason:
            adopted.leave(str(reason), task.name)
    return {image: sorted(said, key=lambda pair: pair[1].said_at) for image, said in found.items()}


def _words(said: Mapping[str, Sequence[tuple[str, Said]]], problem: Problem, adopted: Adopted) -> dict[str, list[Word]]:
    found: defaultdict[str, list[Word]] = defaultdict(list)
    for image, pairs in said.items():
        for task, one in pairs:
            try:
                found[image].append(word_of(image, one, problem))
            except DataError as reason:
                adopted.leave(str(reason), task)
    return found


def _standing(exported: Iterable[dict[str, Any]]) -> Mapping[str, set[Any]]:
    """Return the names, short and whole, of the annotations that stand in our project, by image."""
    found: defaultdict[str, set[Any]] = defaultdict(set)
    for document in exported:
        for annotation in document.get("annotations") or ():
            image = str((document.get("data") or {}).get(IMAGE))
            found[image] |= {annotation.get("import_id"), annotation.get("unique_id")} - {None}
    return found


def _fresh(
    words: Mapping[str, Sequence[Word]], project: "Project", *, standing: Mapping[str, set[Any]], adopted: Adopted
) -> dict[str, Named]:
    """Leave out what stands there already, was exported from this very project, or stands in the file twice."""
    found: dict[str, Named] = {}
    for image, some in words.items():
        there = standing.get(image, set())
        named = {word.name(project): word for word in some if word.said.unique_id not in there}
        new = {name: word for name, word in named.items() if import_id(name) not in there}
        adopted.known_count += len(some) - len(new)
        if new:
            found[image] = new
    return found


def _people(client: "LabelStudio", addresses: Iterable[str], adopted: Adopted) -> dict[str, int]:
    """Return the users' ids by address, made where there is none."""
    known = {address.lower(): number for number, address in client.people().items()}
    for address in sorted(set(addresses) - known.keys()):
        known[address] = client.add_person(address)
        adopted.new_people.append(address)
    return known


def _first(images: Sequence[Row]) -> Iterable[Row]:
    """Return one row of each image: the first where it stands under several keys."""
    return {row["image_sha256"]: row for row in reversed(images)}.values()


def _task(store: Store, row: Row, words: Named, people: Mapping[str, int]) -> dict[str, Any]:
    image = row["image_sha256"]
    data = {"image": store.url(f"blobs/{image}"), IMAGE: image, "key": row["key"], PRIORITY: ANSWERED}
    said = [{"id": import_id(name), **word.annotation(people[word.said.annotator])} for name, word in words.items()]
    return {"data": data, "annotations": said}


def _add_tasks(client: "LabelStudio", project: "Project", tasks: Sequence[dict[str, Any]], adopted: Adopted) -> None:
    for start in range(0, len(tasks), CHUNK):
        some = tasks[start : start + CHUNK]
        client.add_tasks(project.id, some)
        adopted.new_task_count += len(some)
        adopted.added_count += sum(len(task["annotations"]) for task in some)


def _add_annotations(
    client: "LabelStudio", words: Mapping[int, Named], people: Mapping[str, int], adopted: Adopted
) -> None:
    """Add words to tasks that are there: several tasks at once, but a task's one after another, as they were said."""

    def add(item: tuple[int, Named]) -> list[bool]:
        task, named = item
        return [
            client.add_annotation(
                task, unique_id=str(name), import_id=import_id(name), **word.annotation(people[word.said.annotator])
            )
            for name, word in named.items()
        ]

    with ThreadPoolExecutor(WRITERS) as pool:
        added = [is_new for some in pool.map(add, words.items()) for is_new in some]
    adopted.added_count += sum(added)
    adopted.known_count += len(added) - sum(added)


def _nothing(store: Store, raw: RawDataset, adopted: Adopted) -> str:
    return (
        f"nothing in the file can be used with the images in {store.url(raw.source)} ({told(adopted.left_out)}), "
        f"such as {adopted.examples[0]}; name the source that holds its images, under the names that they had there"
    )
