"""Time labels on their way to people and back, against a real Label Studio with the real store beside it.

python -m benchmarks.labels [2000] [50000]

Goals for 2,000 lines on two cores: offered within 30 s beyond the model's own time; taken within 15 s the first time,
2 s when nothing changed, 4 s when 20 were changed. Memory stays flat from 2,000 to 50,000 tasks.
"""

import io
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from label_studio_sdk.client import LabelStudio as Sdk
from PIL import Image

from loopline import local
from loopline.board import IMAGE
from loopline.clients.label_studio import LabelStudio
from loopline.clients.store import Store
from loopline.contracts import RawDataset
from loopline.guessing import Guesser
from loopline.intake import take_images
from loopline.manifest import read_manifest
from loopline.mirror import OVERLAP, refresh
from loopline.offering import offer
from loopline.orders import LabelPlan
from loopline.problems import load_problem
from loopline.project_labels import take_project
from loopline.serving import Predictor, onnx_run
from loopline.settings import PrefectSettings, Settings

PROBLEM = load_problem("handwriting")
COUNT, MANY, EDITED = 2000, 50_000, 20
CHUNK = 1000  # tasks imported at once
SOURCE, TITLE, LARGE = "inbox/lines", "lines", "many lines"

T = TypeVar("T")


def main() -> None:
    if sys.argv[1:2] == ["refresh"]:
        _refresh_and_tell(Path(sys.argv[2]), sys.argv[3])
        return
    asked = [int(text) for text in sys.argv[1:]]
    count, many = [*asked, *(COUNT, MANY)[len(asked) :]]
    with _server() as settings:
        offered_and_taken(settings, count)
        memory(settings, (count, many))


def offered_and_taken(settings: Settings, count: int) -> None:
    """Offer lines with guesses, let them be labelled, and take them three times."""
    store, client = Store(settings.resolved_store()), LabelStudio(settings.resolved_label_studio())
    raw, guesser = _lines(store, count), _guesser(store)
    reading = _timed(lambda: guesser.look(_images(store, raw)))[0]
    plan = LabelPlan(source=SOURCE, project=TITLE)
    seconds, _ = _timed(
        lambda: offer(
            store,
            client,
            raw=raw,
            plan=plan,
            problem=PROBLEM,
            guesser=guesser,
            labelled=(),
            shown_from=settings.resolved_store(),
        )
    )
    print(f"offer {count} with guesses: {seconds - reading:.1f} s beyond the model's {reading:.1f} s; goal 30")
    sdk, project = _sdk(settings), client.find_project(TITLE)
    assert project

    def take(what: str, *, goal: int) -> None:
        took, taken = _timed(lambda: take_project(store, raw, client=client, title=TITLE, problem=PROBLEM))
        print(f"take {taken.label_count + taken.rejected_count} labels, {what}: {took:.1f} s; goal {goal}")

    sdk.actions.create(
        id="predictions_to_annotations", project=project.id, selected_items={"all": True, "excluded": []}
    )
    time.sleep(OVERLAP.total_seconds())  # what was changed just before is looked at once more
    take("the first time", goal=15)
    take("nothing changed", goal=2)
    some = sdk.tasks.list(project=project.id, page=1, page_size=EDITED, fields="all").items
    for task in some:
        sdk.annotations.update(id=task.annotations[0]["id"], result=PROBLEM.write_label("1234"))
    take(f"{EDITED} changed", goal=4)


def memory(settings: Settings, counts: Sequence[int]) -> None:
    """Print the largest memory of a process that mirrors so many tasks for the first time."""
    client = LabelStudio(settings.resolved_label_studio())
    for count in counts:
        project = client.create_project(f"{LARGE} {count}", label_config=PROBLEM.label_config)
        for start in range(0, count, CHUNK):
            client.add_tasks(project.id, [_labelled(number) for number in range(start, min(start + CHUNK, count))])
        command = [sys.executable, "-m", "benchmarks.labels", "refresh", str(settings.folder), project.title]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        print(f"mirror {count} tasks: {told}")


def _refresh_and_tell(home: Path, title: str) -> None:
    settings = Settings(home=home)
    store, client = Store(settings.resolved_store()), LabelStudio(settings.resolved_label_studio())
    project = client.find_project(title)
    assert project
    seconds, _ = _timed(lambda: refresh(store, client, problem=PROBLEM.name, project=project))
    # Not getrusage: what it tells began with the parent, which holds torch.
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(f"{seconds:.0f} s, {int(peak_kb) / 1000:.0f} MB at the most")


@contextmanager
def _server() -> Iterator[Settings]:
    with TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), prefect=PrefectSettings(api_url="http://prefect.example.com/api"))
        try:
            local.up(settings, labels=True)
            yield settings
        finally:
            local.down(settings)


def _lines(store: Store, count: int) -> RawDataset:
    from loopline.problems.handwriting.samples import draw_lines

    lines = draw_lines(seed=1, counts={"train": count, "validation": 0, "test": 0})
    store.upload_all({f"{SOURCE}/{number:05}.png": _png(line.pixels) for number, line in enumerate(lines)})
    return take_images(store, PROBLEM.name, SOURCE)


def _png(pixels: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def _guesser(store: Store) -> Guesser:
    """Return a reader that never learnt: it takes as long as one that did."""
    import torch  # not above: it would hide how much memory a mirror takes

    from loopline.packaging import export_onnx

    recipe, vocabulary = PROBLEM.make_recipe({}), tuple("0123456789")
    torch.manual_seed(1)
    network = export_onnx(PROBLEM, recipe, system=PROBLEM.system(recipe, vocabulary))
    predictor = Predictor(PROBLEM, recipe, vocabulary=vocabulary, run=onnx_run(network), batch_lines=1)
    return Guesser(store, PROBLEM, version="v1.0.0", predictor=predictor)


def _images(store: Store, raw: RawDataset) -> list[str]:
    found: list[str] = read_manifest(store, raw.manifest)["image_sha256"].to_pylist()
    return found


def _labelled(number: int) -> dict[str, Any]:
    sha256 = f"{number:064x}"
    data = {"image": f"s3://loopline/blobs/{sha256}", IMAGE: sha256, "key": f"{number}.png"}
    return {"data": data, "annotations": [{"result": PROBLEM.write_label(str(number))}]}


def _sdk(settings: Settings) -> Any:
    access = settings.resolved_label_studio()
    assert access.api_key
    return Sdk(base_url=access.url, api_key=access.api_key.get_secret_value(), timeout=600)  # type: ignore[no-untyped-call]


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.monotonic()
    done = work()
    return time.monotonic() - start, done


if __name__ == "__main__":
    main()
