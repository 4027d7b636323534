"""What the commands of models and data do: `loopline run`, `samples`, `models`, `dataset` and `open`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from loopline import doctor
from loopline.addresses import last_addresses
from loopline.clients.store import Store
from loopline.contracts import Contract, HeldBack, ModelReady, Scalar
from loopline.errors import ConfigError, LooplineError, wrong_values
from loopline.flow_processes import ask
from loopline.intake import mirror_folder
from loopline.laptop_addresses import LaptopAddresses
from loopline.ledger import Judged
from loopline.local import prefect_environment
from loopline.orders import FitPlan, Order, Requirements, SearchPlan
from loopline.registry import Registry
from loopline.serving import Predictor
from loopline.settings import LAPTOP, Settings

if TYPE_CHECKING:
    from loopline.clients.label_studio import LabelStudio

SAMPLES = "inbox/samples"
READY, HELD_BACK = 0, 3  # exit codes of flows.run that come with an outcome


def store(settings: Settings) -> Store:
    """Return the object store that the settings describe."""
    return Store(settings.resolved_store())


def registry(settings: Settings) -> Registry:
    """Return the registry that the settings describe."""
    return Registry(settings.resolved_registry(), settings.resolved_store(), home=settings.folder)


def write_samples(settings: Settings) -> tuple[str, int]:
    """Draw the sample lines and bring them into the store's inbox; return the prefix and how many files were new."""
    from loopline.problems.handwriting import samples

    folder = settings.folder / "samples"
    if not (folder / "splits.json").exists():
        samples.write_samples(folder)
    return SAMPLES, mirror_folder(store(settings), folder, SAMPLES)


def source_prefix(settings: Settings, source: str) -> str:
    """Bring a user's folder into the inbox; a prefix of the store is returned as it is."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if source.startswith(("/", "~", ".")):
            raise ConfigError(f"there is no folder {folder}; name one, or a prefix in the store such as {SAMPLES}")
        return source
    prefix = f"inbox/{folder.resolve().name}"
    mirror_folder(store(settings), folder, prefix)
    return prefix


def make_order(
    *,
    problem: str,
    source: str,
    labels: str,
    values: Sequence[str],
    seed: int,
    minutes: float | None,
    requirements: Path | None,
    search: Mapping[str, Any],
) -> Order:
    """Return the order that the options ask for; ConfigError for one that doesn't hold."""
    try:
        plan = FitPlan(recipe=recipe_values(values), seed=seed, minutes=minutes, search=_search(search))
    except ValidationError as error:
        raise ConfigError(f"the plan does not hold: {wrong_values(error)}") from None
    bounds = read_requirements(requirements) if requirements else None
    return Order(problem=problem, source=source, labels=labels, plan=plan, requirements=bounds)


def recipe_values(texts: Sequence[str]) -> dict[str, Scalar]:
    """Read recipe values as they are typed, such as epochs=20; ConfigError for one that sets nothing."""
    return dict(_value(text) for text in texts)


def _search(options: Mapping[str, Any]) -> SearchPlan | None:
    asked = {name: value for name, value in options.items() if value is not None}
    if "space" in asked:
        asked["space"] = {name: _values(text) for name, text in map(_named, asked["space"])}
    return SearchPlan.model_validate(asked) if asked else None


def read_requirements(path: Path) -> Requirements:
    """Read a requirements.yaml; ConfigError names the file and what is wrong in it."""
    try:
        return Requirements.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path} can't be used as requirements: {' '.join(str(error).split())}") from None


def _value(text: str) -> tuple[str, Scalar]:
    name, value = _named(text)
    return name, _scalar(name, value)


def _values(text: str) -> tuple[Scalar, ...]:
    return tuple(_scalar("the search space", value) for value in text.split(","))


def _named(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"{text!r} sets nothing; write a recipe value as name=value, such as epochs=20")
    return name, value


def _scalar(name: str, value: str) -> Scalar:
    parsed = yaml.safe_load(value)
    if not isinstance(parsed, bool | int | float | str):
        raise ConfigError(f"{name}={value} is no number, word or truth value")
    return parsed


def run(settings: Settings, order: Order) -> tuple[int, ModelReady | HeldBack | None]:
    """Run build_model in a process of its own; return its exit code and, if it came to one, its outcome."""
    code, outcome = run_flow(settings, "build_model", order)
    kind = ModelReady if code == READY else HeldBack
    return code, kind.model_validate_json(outcome) if outcome else None


def run_flow(settings: Settings, name: str, asked: Contract) -> tuple[int, str | None]:
    """Run a flow in a process of its own; return its exit code and, if it came to one, its outcome as JSON."""
    return _run_flow(settings, name, asked.model_dump_json())


def resume(settings: Settings, run: str, *, step: str | None = None) -> tuple[int, str]:
    """Take up a run that failed, or repeat one from a step on; return the exit code, and what became of it.

    A deployment's run is scheduled under its id; one of a terminal is run anew, here. ConfigError for a run that is
    unknown, goes on or is complete.
    """
    found = ask(settings, "resume", run, *([step] if step else []))
    if "scheduled" in found:
        return READY, f"{found['scheduled']} is scheduled again; a worker takes it up"
    (asked,) = found["parameters"].values()
    code, _ = _run_flow(settings, found["flow"], json.dumps(asked))
    return code, f"{run} was run again" if code in (READY, HELD_BACK) else f"{run} failed again"


def _run_flow(settings: Settings, name: str, asked: str) -> tuple[int, str | None]:
    with TemporaryDirectory() as folder:
        outcome = Path(folder) / "outcome.json"
        command = [sys.executable, "-m", "flows.run", name, str(outcome)]
        environment = os.environ | prefect_environment(settings)
        # Whatever a step prints is for people; standard output is for the outcome alone.
        done = subprocess.run(command, input=asked, text=True, env=environment, stdout=sys.stderr)
        return done.returncode, outcome.read_text() if outcome.exists() else None


def prefect(settings: Settings, arguments: Sequence[str]) -> int:
    """Run Prefect's own command line; return its exit code."""
    command = [sys.executable, "-m", "prefect", *arguments]
    return subprocess.run(command, env=os.environ | prefect_environment(settings)).returncode


def examine(settings: Settings) -> Iterator[doctor.Finding]:
    """Try everything that a run needs; Prefect in a process of its own, as everywhere."""
    yield from doctor.examine(settings)
    try:
        yield from (doctor.Finding(*found) for found in ask(settings, "health"))
    except LooplineError as error:
        yield doctor.Finding("prefect", False, str(error))


def label_studio(settings: Settings) -> "LabelStudio":
    """Return the labelling tool; its SDK takes seconds to import."""
    from loopline.clients.label_studio import LabelStudio

    return LabelStudio(settings.resolved_label_studio())


def find_model(settings: Settings, *, problem: str, version: str | None) -> Judged:
    """Return a version of the registry, the champion if none is named; ConfigError if there is none."""
    models = registry(settings).models(problem)
    wanted = [m for m in models if (m.judged.version == version if version else "champion" in m.stages)]
    if not wanted:
        known = ", ".join(model.judged.version for model in models) or "none yet; `loopline run` makes one"
        raise ConfigError(f"{problem} has no {version or 'champion'}; versions: {known}")
    return wanted[0].judged


def open_model(settings: Settings, *, problem: str, version: str | None) -> Predictor:
    """Fetch a version's package, the champion's if none is named, and make it read."""
    judged = find_model(settings, problem=problem, version=version)
    return Predictor.open(store(settings).read_artifact(judged.packaged.archive))


def models_table(settings: Settings, *, problem: str) -> Table:
    """Return every model version with its stage, metrics and verdict."""
    table = Table("version", "stage", "dataset", "verdict", box=None, pad_edge=False)
    for model in registry(settings).models(problem):
        report = model.judged.packaged.report
        if len(table.columns) == 4:
            for name in report.metrics:
                table.add_column(name)
        figures = [f"{value:.4f}" for value in report.metrics.values()]
        reasons = "passed" if model.judged.verdict.passed else "; ".join(model.judged.verdict.reasons)
        dataset = report.model.dataset.name.rsplit("/", 1)[-1]
        table.add_row(model.judged.version, " ".join(model.stages), dataset, reasons, *figures)
    return table


def datasets_table(settings: Settings, *, problem: str) -> Table:
    """Return every dataset version with its sizes."""
    table = Table("version", "train", "val", "test", "characters", "shards", "digest", box=None, pad_edge=False)
    for version in registry(settings).datasets(problem):
        sizes = [str(version.split_sizes[name]) for name in ("train", "val", "test")]
        facts = [str(len(version.vocabulary)), str(len(version.shards)), version.digest[:12]]
        table.add_row(version.name.rsplit("/", 1)[-1], *sizes, *facts)
    return table


def show_outcome(console: Console, judged: ModelReady | HeldBack, *, settings: Settings) -> None:
    """Print what came of a run: figures, verdict, and where to look."""
    report = judged.packaged.report
    table = Table("metric", "value", "95 % interval", "baseline", box=None, pad_edge=False)
    for name, value in report.metrics.items():
        low, high = report.interval_95[name]
        table.add_row(name, f"{value:.4f}", f"{low:.4f} to {high:.4f}", f"{report.baseline_metrics[name]:.4f}")
    console.print(table)
    verdict = Table("requirement", "bound", "measured", "met", box=None, pad_edge=False)
    for finding in judged.verdict.findings:
        verdict.add_row(finding.requirement, finding.bound, f"{finding.measured:.4g}", "yes" if finding.met else "NO")
    console.print(verdict)
    console.print(f"{judged.problem} {judged.version} is {judged.outcome}; Bento {judged.packaged.bento_tag}")
    console.print(f"report: {page_address(settings, judged.page.uri)}", soft_wrap=True)


def demo_address(settings: Settings) -> str:
    """Return where `loopline up --demo` shows the champion; nothing if it was left out."""
    last = last_addresses(settings.folder)
    return last.demo_url if last and last.demo else ""


def how_to_sign_in(settings: Settings) -> str:
    """Say where the password of the laptop's Prefect server stands; nothing of another server's."""
    is_laptop = settings.prefect.api_url == LAPTOP
    return f"  (sign in with prefect_auth of {LaptopAddresses.path(settings.folder)})" if is_laptop else ""


def page_address(settings: Settings, page: str) -> str:
    """Return where a browser finds the page at a key of the store: on the laptop the file itself."""
    places = settings.store
    if places.endpoint == LAPTOP:
        return (settings.folder / "store" / places.bucket / places.prefix / page).as_uri()
    return store(settings).url(page)


def outcome_json(judged: ModelReady | HeldBack) -> str:
    """Return the outcome, for machines."""
    return json.dumps(judged.model_dump(mode="json"), ensure_ascii=False)
