"""Offer images to people: one task an image, the most useful first, the champion's guess filled in.

Whatever is lost on the way (an answer, a run) is mended by the next offer: it looks what is there, adds what is
missing, and takes away an untouched second task for an image.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from loopline.acquisition import rank
from loopline.board import CHECK, IMAGE, PRIORITY, Board, Task, read_board
from loopline.captured_offer import bring, correct_again, within_limit
from loopline.captured_tasks import CapturedImage, users_guess
from loopline.checking import ask
from loopline.clients.label_studio_filters import filled
from loopline.clients.shown_images import unseen
from loopline.clients.store import Store
from loopline.contracts import Offer, RawDataset
from loopline.errors import ConfigError
from loopline.guessing import Guesser
from loopline.manifest import read_manifest
from loopline.mirror import documents, refresh
from loopline.opinions import hear
from loopline.orders import LabelPlan
from loopline.problems import Problem
from loopline.project_labels import labels_beside
from loopline.serving import Look

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio, Project
    from loopline.settings import StoreSettings

log = logging.getLogger(__name__)

CHUNK = 500  # tasks a request; if its answer is lost, so many are looked for
MOST_ANCHORS = 500  # labelled images that new ones are held against
SIMILAR = 0.05  # of priority: a smaller change is not worth a request
ADDRESS_SECONDS = 60  # that the address holds by which we look whether an image can be seen
WRITERS = 4  # requests at once; Label Studio on SQLite has one writer
USEFUL_FIRST, PLEASE_CHECK = "Most useful first", "Please check"  # tabs

T = TypeVar("T")


def offer(
    store: Store,
    client: "LabelStudio",
    *,
    raw: RawDataset,
    plan: LabelPlan,
    problem: Problem,
    guesser: Guesser | None,
    labelled: Iterable[str],
    shown_from: "StoreSettings",
    captured: Sequence[CapturedImage] = (),
) -> Offer:
    """Make every image that has no label a task; `labelled` are those that have one, but for those in labels.json.

    Of the captured pictures the most useful become tasks, up to the plan's limit. Repeated at any point, nothing stands
    there twice. Raises what the client and the store raise.
    """
    project = keep_project(client, plan, problem, shown_from=shown_from)
    snapshot = refresh(store, client, problem=problem.name, project=project)
    board = _tidied(client, project, board=read_board(documents(store, snapshot)))
    keys, beside = _usable(store, raw), labels_beside(store, raw, problem=problem)
    _tell_if_unseen(client, keys, shown_from=shown_from)
    known = board.tasks.keys() | beside.keys() | set(labelled)
    new = {image: {"key": key} for image, key in keys.items() if image not in known}
    sent = {one.image_sha256: one for one in captured if one.image_sha256 not in known | keys.keys()}
    is_new_champion = guesser is not None and project.model_version != guesser.version
    again = board.guessable if is_new_champion else {}
    waiting, elsewhere = new.keys() | again.keys() | sent.keys(), {image: one.key for image, one in sent.items()}
    looks = guesser.look(sorted(waiting), elsewhere=elsewhere) if guesser else {}
    order = _order(waiting, plan=plan, looks=looks, guesser=guesser, board=board, sent=sent)
    order = within_limit(order, sent, limit=plan.captures_limit)
    priorities = {image: round(1 - place / len(order), 4) for place, image in enumerate(order)}
    chosen = [sent[image] for image in order if image in sent]
    new |= bring(store, chosen)
    guesses = {image: _guess(guesser, looks.get(image)) for image in order}
    tasks = [
        _task(store, image, data={**new[image], PRIORITY: priorities[image]}, guess=guesses[image], problem=problem)
        for image in order
        if image in new
    ]
    _in_chunks(lambda some: client.add_tasks(project.id, some), tasks)
    guess_count = sum(map(len, guesses.values()))
    if guesser and is_new_champion:
        _guess_again(client, project, problem=problem, tasks=again, guesses=guesses, priorities=priorities)
        if guess_count:
            client.change_project(project.id, model_version=guesser.version)
    correct_again(store, client, project.id, board=board, captured=captured, problem=problem)
    heard = hear(documents(store, snapshot), problem, people={})
    check_count = ask(
        store, client, project, problem=problem, board=board, heard=heard, beside=beside, anew=bool(tasks)
    )
    counts = (len(tasks), len(chosen), guess_count, len(board.open) + len(tasks))
    log.info("offer: %d new tasks, %d of them captured, %d guesses, %d open", *counts)
    if len(chosen) < len(sent):
        log.info("offer: %d captured pictures wait, over the limit of %d a run", len(sent) - len(chosen), len(chosen))
    return Offer(
        problem=problem.name,
        label_project=project.title,
        offered_count=len(tasks),
        guess_count=guess_count,
        open_count=len(board.open) + len(tasks),
        check_count=check_count,
        captured_count=len(chosen),
        over_limit_count=len(sent) - len(chosen),
        champion=guesser.version if guesser else None,
    )


def keep_project(client: "LabelStudio", plan: LabelPlan, problem: Problem, *, shown_from: "StoreSettings") -> "Project":
    """Return the project, made or brought up to date: interface, overlap, tabs, and where its images are seen."""
    project = client.find_project(plan.project)
    if project is None:
        project = client.create_project(plan.project, label_config=problem.label_config)
    if not client.shows_from(project.id, shown_from):  # which comes last, so that after a kill nothing is missing
        client.keep_tab(project.id, USEFUL_FIRST, shown=(), ordering=f"-tasks:data.{PRIORITY}")
        client.keep_tab(project.id, PLEASE_CHECK, shown=[filled(CHECK)], ordering=f"-tasks:data.{PRIORITY}")
        client.show_from(project.id, shown_from)
    people, percentage = (2, round(100 * plan.overlap_share)) if plan.overlap_share else (1, 100)
    if (project.maximum_annotations, project.overlap_percentage) != (people, percentage):
        client.change_project(project.id, maximum_annotations=people, overlap_cohort_percentage=percentage)
    if project.label_config != problem.label_config:
        _keep_interface(client, project, problem)
    return project


def _keep_interface(client: "LabelStudio", project: "Project", problem: Problem) -> None:
    """Put an interface right that was changed by hand; Label Studio refuses once answers were given that need it."""
    try:
        client.change_project(project.id, label_config=problem.label_config)
    except ConfigError as refusal:
        told = "offer: %r keeps an interface that was made by hand until the answers that need it are deleted; %s"
        log.warning(told, project.title, refusal)


def _tell_if_unseen(client: "LabelStudio", images: Mapping[str, str], *, shown_from: "StoreSettings") -> None:
    """Warn if annotators may see no images: an address that doesn't answer here may still do so in their browsers."""
    for image in list(images)[:1]:
        address = Store(shown_from).signed_address(f"blobs/{image}", seconds=ADDRESS_SECONDS)
        if reason := unseen(address, page_url=client.url):
            told = "offer: annotators may see no images, as %s %s; check LOOPLINE_LABEL_STUDIO__STORE_ENDPOINT"
            log.warning(told, shown_from.endpoint, reason)


def _tidied(client: "LabelStudio", project: "Project", *, board: Board) -> Board:
    """Take away untouched tasks that show an image a second time."""
    extra = [task.id for task in board.repeated if task.is_open]
    if extra:
        log.warning("offer: %d tasks show an image a second time, so they are taken away", len(extra))
        _in_chunks(lambda some: client.drop_tasks(project.id, some), extra)
    return board


def _usable(store: Store, raw: RawDataset) -> dict[str, str]:
    """Return the usable images, and where each lies in the source."""
    rows = read_manifest(store, raw.manifest).select(["image_sha256", "key", "quarantine_reason"]).to_pylist()
    return {row["image_sha256"]: row["key"] for row in reversed(rows) if not row["quarantine_reason"]}


def _order(
    images: Iterable[str],
    *,
    plan: LabelPlan,
    looks: Mapping[str, Look],
    guesser: Guesser | None,
    board: Board,
    sent: Mapping[str, CapturedImage],
) -> list[str]:
    """Return the images, the most useful first."""
    waiting = list(images)
    done = sorted(image for image, task in board.tasks.items() if task.annotation_count) if waiting else []
    anchors = guesser.look(done[:MOST_ANCHORS]) if guesser else {}
    answered = {image: one.confidence for image, one in sent.items()}
    return rank(
        waiting,
        policy=plan.policy,
        confidences=answered | {image: look.answer.confidence for image, look in looks.items()},
        embeddings={image: look.embedding for image, look in looks.items()},
        labelled=[look.embedding for look in anchors.values()],
    )


def _guess(guesser: Guesser | None, look: Look | None) -> list[dict[str, Any]]:
    return [guesser.prediction(look)] if guesser and look and look.answer.text else []


def _task(
    store: Store, image: str, *, data: Mapping[str, Any], guess: Sequence[dict[str, Any]], problem: Problem
) -> dict[str, Any]:
    shown = {"image": store.url(f"blobs/{image}"), IMAGE: image, **data}
    return {"data": shown, "predictions": [*guess, *users_guess(shown, problem)]}


def _guess_again(
    client: "LabelStudio",
    project: "Project",
    *,
    problem: Problem,
    tasks: Mapping[str, Task],
    guesses: Mapping[str, Sequence[dict[str, Any]]],
    priorities: Mapping[str, float],
) -> None:
    """Give open tasks the new champion's guesses in place of the old one's, and their new priorities."""
    guessed = [task.id for task in tasks.values() if task.is_guessed]
    _in_chunks(lambda some: client.drop_predictions(project.id, some), guessed)
    anew = [
        {"task": task.id, **guess}
        for image, task in tasks.items()
        for guess in [*guesses[image], *users_guess(task.data, problem)]
    ]
    _in_chunks(lambda some: client.add_predictions(project.id, some), anew)
    moved = {
        task.id: {**task.data, PRIORITY: priorities[image]}
        for image, task in tasks.items()
        if abs(float(task.data.get(PRIORITY) or 0) - priorities[image]) > SIMILAR
    }
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda item: client.change_task(item[0], data=item[1]), moved.items()))


def _in_chunks(send: Callable[[Sequence[T]], None], items: Sequence[T]) -> None:
    for start in range(0, len(items), CHUNK):
        send(items[start : start + CHUNK])
