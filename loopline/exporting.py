"""A registered model for devices: its network in the form that each can run, checked on the test lines."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loopline.errors import ConfigError
from loopline.evaluation import Judgement
from loopline.export_table import Figures, markdown
from loopline.forms import Forms
from loopline.judging import paired_interval_95
from loopline.packaging import CARD, LARGEST_DRIFT, check_parity, loses_nothing
from loopline.problems import Answer
from loopline.serving import LANGUAGE, NETWORK
from loopline.web_page import page_files

READER, MOBILE, OPERATORS = "reader.json", "model.ort", "required_operators.config"
README, FIGURES = "README.md", "figures.json"


@dataclass(frozen=True)
class Exported:
    """One target: its files by their paths, and what was measured."""

    files: Mapping[str, bytes]
    figures: Figures


def export(forms: Forms, targets: Sequence[str], *, folder: Path, npm_registry: str) -> list[Figures]:
    """Write each target into a folder of its own in `folder`, and beside them what was measured and how to read.

    Nothing is written if one of them fails. Raises ConfigError for an unknown target or a folder in use,
    IntegrityError for a form that does not answer as it must; for the npm registry as `page_files`.
    """
    if unknown := [target for target in targets if target not in TARGETS]:
        raise ConfigError(f"there is no target {unknown[0]!r}; choose from: {', '.join(TARGETS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder; name a new one")
    made = {target: TARGETS[target](forms, npm_registry) for target in dict.fromkeys(targets)}
    measured = [exported.figures for exported in made.values()]
    files = {f"{target}/{name}": data for target, exported in made.items() for name, data in exported.files.items()}
    files |= {README: _readme(forms, measured), FIGURES: json.dumps(list(map(asdict, measured)), indent=1).encode()}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return measured


def _exact(forms: Forms, _: str) -> Exported:
    network, judged = forms.exact, forms.judge(forms.exact)
    check_parity(forms.trained_answers, judged.answers)
    beside = _equal("the trained model", forms.trained_answers, judged)
    return Exported(_files(forms, {NETWORK: network}), _figures(forms, "onnx", network, beside=beside))


def _whole(forms: Forms, _: str) -> Exported:
    network, exact, judged = forms.whole, forms.judge(forms.exact), forms.judge(forms.whole)
    name = next(iter(judged.metrics))
    low, high = paired_interval_95(judged.tallies, exact.tallies, groups=judged.groups)[name]
    difference = judged.metrics[name] - exact.metrics[name]
    verdict = "nothing clear is lost" if loses_nothing(forms.problem, exact, judged) else "it reads worse: prefer onnx"
    beside = f"{_same('onnx', exact.answers, judged)}, {name} {difference:+.4f} ({low:+.4f} to {high:+.4f}); {verdict}"
    return Exported(_files(forms, {NETWORK: network}), _figures(forms, "onnx-int8", network, beside=beside))


def _mobile(forms: Forms, _: str) -> Exported:
    mobile = forms.mobile
    ours, judged = forms.judge(forms.packaged).answers, forms.judge(mobile.network)
    check_parity(ours, judged.answers)
    files = _files(forms, {MOBILE: mobile.network, OPERATORS: mobile.operators})
    return Exported(files, _figures(forms, "mobile", mobile.network, beside=_equal("the package", ours, judged)))


def _web(forms: Forms, npm_registry: str) -> Exported:
    model = _files(forms, {NETWORK: forms.packaged})
    files = page_files(forms.problem, model, npm_registry=npm_registry, cache=forms.npm_cache)
    packaged, size_bytes = forms.judged.packaged, sum(map(len, files.values()))
    name = next(iter(packaged.metrics))
    beside = "the package's own network and decoder; how fast it is, the page shows"
    figures = Figures("web", size_bytes, None, name, packaged.metrics[name], packaged.interval_95[name], beside)
    return Exported(files, figures)


TARGETS: Mapping[str, Callable[[Forms, str], Exported]] = {
    "onnx": _exact,
    "onnx-int8": _whole,
    "mobile": _mobile,
    "web": _web,
}


def _files(forms: Forms, networks: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what a device needs: the network, what to know beside it, the language if it needs one, and the card."""
    kept = {name: forms.parts[name] for name in (LANGUAGE, CARD) if name in forms.parts}
    return {**networks, READER: forms.about(next(iter(networks))), **kept}


def _figures(forms: Forms, target: str, network: bytes, *, beside: str) -> Figures:
    judged = forms.judge(network)
    name = next(iter(judged.metrics))
    latency_ms = forms.latency_ms(network)
    return Figures(target, len(network), latency_ms, name, judged.metrics[name], judged.intervals[name], beside)


def _same(name: str, answers: Sequence[Answer], judged: Judgement) -> str:
    count = sum(left.text == right.text for left, right in zip(answers, judged.answers, strict=True))
    return f"{name}: {count} of {len(answers)} texts equal"


def _equal(name: str, answers: Sequence[Answer], judged: Judgement) -> str:
    drift = max(abs(left.confidence - right.confidence) for left, right in zip(answers, judged.answers, strict=True))
    return f"{_same(name, answers, judged)}, confidences differ by at most {drift:.1g} (allowed: {LARGEST_DRIFT:g})"


def _readme(forms: Forms, measured: list[Figures]) -> bytes:
    said = (Path(__file__).parent / "export_readme.md").read_text()
    explained = (forms.problem.folder / "device.md").read_text()
    title = f"{forms.problem.name} {forms.judged.version} on a device"
    return said.format(title=title, table=markdown(measured), explained=explained).encode()
