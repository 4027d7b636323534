"""Ask for another opinion, in a tab of their own: on tasks whose annotators disagree, or whose label a model doubts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loopline.board import CHECK, Board, read_board
from loopline.clients.store import Store
from loopline.consensus import Consensus, settle
from loopline.errors import DataError
from loopline.mirror import documents, refresh
from loopline.opinions import Heard, hear
from loopline.problems import Problem
from loopline.suspicions import doubted

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

DISAGREE = "annotators disagree"


def check_again(store: Store, client: "LabelStudio", *, problem: Problem, title: str) -> int:
    """Bring the tasks that want another opinion up to date, and nothing else; return how many there are.

    Raises DataError if there is no project of this title, and what the client raises.
    """
    project = client.find_project(title)
    if project is None:
        raise DataError(f"Label Studio at {client.url} has no project {title!r}, so nobody can check; name another")
    snapshot = refresh(store, client, problem=problem.name, project=project)
    heard = hear(documents(store, snapshot), problem, people={})
    board = read_board(documents(store, snapshot))
    return ask_again(client, board, wanted=wanted_checks(store, problem.name, heard=heard), anew=False)


def wanted_checks(store: Store, problem: str, *, heard: Heard) -> dict[str, str]:
    """Return the images that someone else should look at, each with the reason."""
    consensus = settle(heard.opinions)
    return doubted(store, problem, heard=heard, consensus=consensus) | conflicts(consensus)


def conflicts(consensus: Consensus) -> dict[str, str]:
    """Return the images on which annotators disagree, each with that reason."""
    return {image: DISAGREE for image, settled in consensus.images.items() if settled.conflict}


def ask_again(client: "LabelStudio", board: Board, *, wanted: Mapping[str, str], anew: bool) -> int:
    """Let one more person see each image that is wanted, its reason on the task; take settled ones back.

    `anew`: also those that were asked for before, since Label Studio forgets it where it shares out new tasks. Returns
    how many tasks want another opinion now.
    """
    asked = {image: task for image, task in board.tasks.items() if image in wanted}
    for image, task in asked.items():
        if anew or task.data.get(CHECK) != wanted[image]:
            data = {**task.data, CHECK: wanted[image]}
            client.change_task(task.id, data=data, overlap=task.annotation_count + 1)
    for image, task in board.tasks.items():
        if CHECK in task.data and image not in wanted:
            client.change_task(task.id, data={name: value for name, value in task.data.items() if name != CHECK})
    return len(asked)
