"""What a label project holds, task by task, as its last snapshot has it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CHECK = "check"  # in a task's data: why another opinion is wanted
PRIORITY = "priority"  # in a task's data: how soon it should be labelled, 1 first
IMAGE = "image_sha256"


@dataclass(frozen=True)
class Task:
    """One task: its image, and how far people have come with it."""

    id: int
    image_sha256: str
    data: Mapping[str, Any]
    annotation_count: int
    draft_count: int
    is_guessed: bool

    @property
    def is_open(self) -> bool:
        """True if nobody has begun with it."""
        return not self.annotation_count and not self.draft_count


@dataclass
class Board:
    """All tasks that show an image of ours, and those that show one a second time."""

    tasks: dict[str, Task] = field(default_factory=dict)  # by image
    repeated: list[Task] = field(default_factory=list)

    @property
    def open(self) -> dict[str, Task]:
        """The tasks that nobody has begun with."""
        return {image: task for image, task in self.tasks.items() if task.is_open}

    @property
    def guessable(self) -> dict[str, Task]:
        """The open tasks in which a champion may guess: not where a label that is to be checked is filled in."""
        return {image: task for image, task in self.open.items() if CHECK not in task.data}


def read_board(documents: Iterable[dict[str, Any]]) -> Board:
    """Read exported tasks, in the order of their ids. Of two tasks for one image the one with more work in it stays."""
    board = Board()
    for document in documents:
        task = _task(document)
        if not task.image_sha256:
            continue
        known = board.tasks.setdefault(task.image_sha256, task)
        if known is task:
            continue
        if known.is_open and not task.is_open:
            board.tasks[task.image_sha256], task = task, known
        board.repeated.append(task)
    return board


def _task(document: dict[str, Any]) -> Task:
    data = document.get("data")
    data = data if isinstance(data, dict) else {}
    return Task(
        id=int(document["id"]),
        image_sha256=str(data.get(IMAGE) or ""),
        data=data,
        annotation_count=len(document.get("annotations") or ()),
        draft_count=len(document.get("drafts") or ()),
        is_guessed=bool(document.get("predictions")),
    )
