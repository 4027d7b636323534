"""Ask for another opinion, in a tab of their own: on tasks whose annotators disagree, or whose label a model doubts.

A label that a file gives has no task; it gets one when it is doubted, and what the file says is filled in there.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loopline.board import CHECK, IMAGE, PRIORITY, Board, read_board
from loopline.clients.store import Store
from loopline.consensus import Consensus, settle
from loopline.contracts import RawDataset
from loopline.errors import DataError
from loopline.mirror import documents, refresh
from loopline.opinions import Heard, hear
from loopline.problems import Problem
from loopline.project_labels import BESIDE, labels_beside
from loopline.sidecars import Row
from loopline.suspicions import doubted

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio, Project

DISAGREE = "annotators disagree"
DOUBTED = 1.0  # priority: as soon as the most useful one


def check_again(store: Store, client: "LabelStudio", *, raw: RawDataset, problem: Problem, title: str) -> int:
    """Bring the tasks that want another opinion up to date, and nothing else; return how many there are.

    Raises DataError if there is no project of this title, and what the client raises.
    """
    project = client.find_project(title)
    if project is None:
        raise DataError(
            f"Label Studio at {client.url} has no project {title!r}, so nobody can check; name another, or let "
            "`loopline labels collect` make it"
        )
    snapshot = refresh(store, client, problem=problem.name, project=project)
    heard = hear(documents(store, snapshot), problem, people={})
    return ask(
        store,
        client,
        project,
        problem=problem,
        board=read_board(documents(store, snapshot)),
        heard=heard,
        beside=labels_beside(store, raw, problem=problem),
        anew=False,
    )


def ask(
    store: Store,
    client: "LabelStudio",
    project: "Project",
    *,
    problem: Problem,
    board: Board,
    heard: Heard,
    beside: Mapping[str, Row],
    anew: bool,
) -> int:
    """Let someone else look at each image that is in doubt, its reason on the task; return how many there are.

    `beside` are the labels that a file gives. `anew`: Label Studio has shared out new tasks, and so forgotten whom it
    was to ask.
    """
    consensus, texts = settle(heard.opinions), {image: row["label"] for image, row in beside.items()}
    wanted = doubted(store, problem.name, heard=heard, consensus=consensus, beside=texts) | conflicts(consensus)
    new = [
        _task(store, beside[image], reason=reason, problem=problem)
        for image, reason in wanted.items()
        if image in beside and image not in board.tasks
    ]
    if new:
        client.add_tasks(project.id, new)
    return len(new) + _ask_again(client, board, wanted=wanted, anew=anew or bool(new))


def conflicts(consensus: Consensus) -> dict[str, str]:
    """Return the images on which annotators disagree, each with that reason."""
    return {image: DISAGREE for image, settled in consensus.images.items() if settled.conflict}


def _task(store: Store, row: Row, *, reason: str, problem: Problem) -> dict[str, Any]:
    image = row["image_sha256"]
    data = {"image": store.url(f"blobs/{image}"), IMAGE: image, "key": row["key"], PRIORITY: DOUBTED, CHECK: reason}
    suggestion = {"model_version": BESIDE, "result": problem.write_label(row["label"])}
    return {"data": data, "predictions": [suggestion]}


def _ask_again(client: "LabelStudio", board: Board, *, wanted: Mapping[str, str], anew: bool) -> int:
    """Let one more person see each task that is wanted, and take settled ones back; return how many are wanted now."""
    asked = {image: task for image, task in board.tasks.items() if image in wanted}
    for image, task in asked.items():
        if anew or task.data.get(CHECK) != wanted[image]:
            data = {**task.data, CHECK: wanted[image]}
            client.change_task(task.id, data=data, overlap=task.annotation_count + 1)
    for image, task in board.tasks.items():
        if CHECK in task.data and image not in wanted:
            client.change_task(task.id, data={name: value for name, value in task.data.items() if name != CHECK})
    return len(asked)
