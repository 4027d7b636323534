"""Ask for another opinion: tasks whose annotators disagree go back to people, in a tab of their own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loopline.board import CHECK, Board
from loopline.consensus import Consensus

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

DISAGREE = "annotators disagree"


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
