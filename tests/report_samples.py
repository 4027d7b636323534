"""A made-up report as it might be: 300 drawn lines, a champion, a search of 24 trials, every kind of figure."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from loopline.contracts import (
    Artifact,
    DatasetVersion,
    Decoding,
    EvaluationReport,
    Finding,
    Footprint,
    LabeledDataset,
    Latency,
    Opponent,
    PackagedModel,
    RawDataset,
    Slice,
    Study,
    TrainedModel,
    Verdict,
)
from loopline.details import (
    AbstentionPoint,
    Behaviour,
    DecodingResult,
    Details,
    History,
    MinimumSet,
    ReliabilityBin,
    SearchDimension,
    Trial,
)
from loopline.mistakes import LineResult
from loopline.problems.handwriting.samples import draw_lines
from loopline.report import Page

CURVE = [{"epoch": 1.0, "train_loss": 4.0, "val_cer": 0.5}, {"epoch": 2.0, "train_loss": 0.1, "val_cer": 0.01}]
LINE_COUNT = 300
RESEMBLING = {"1": "7", "7": "1", "4": "9", "9": "4", "3": "8", "8": "3", "5": "6", "0": "6", "6": "0", "2": "7"}
EMPTY = Details(reliability=(), abstention=(), behaviours=(), minimum_sets=(), decodings=())


def artifact(name: str, size_bytes: int = 1000) -> Artifact:
    return Artifact(sha256=(name.encode().hex() + "0" * 64)[:64], size_bytes=size_bytes, uri=f"made-up/{name}")


def dataset() -> DatasetVersion:
    raw = RawDataset(
        problem="handwriting", manifest=artifact("raw"), image_count=2104, quarantined_count=4, source="inbox/samples"
    )
    labeled = LabeledDataset(
        problem="handwriting", manifest=artifact("labels"), label_count=2100, rejected_count=4, agreement=None, raw=raw
    )
    return DatasetVersion(
        problem="handwriting",
        manifest=artifact("manifest"),
        shards=(artifact("shard"),),
        split_sizes={"train": 1500, "val": 300, "test": LINE_COUNT},
        vocabulary=tuple("0123456789"),
        name="dataset/handwriting/v3",
        git_revision="c0ffee",
        labeled=labeled,
    )


def model(**changed: Any) -> TrainedModel:
    facts: dict[str, Any] = {
        "dataset": dataset(),
        "recipe": {"epochs": 14, "learning_rate": 0.00287, "channels": 32, "head": "shortcut", "augment": 0.62},
        "seed": 1,
        "checkpoint": artifact("weights"),
        "val_metrics": {"val_cer": 0.0079, "val_loss": 0.061},
        "epochs": 14,
        "study": Study(
            name="handwriting-4f2a-91bc",
            recipe={"learning_rate": 0.00287},
            best={"val_cer": 0.0131},
            trial_counts={"complete": 12, "pruned": 11, "failed": 1},
            stopped_by="trials",
            history=artifact("history"),
            busy_seconds=2931,
        ),
        "curve": artifact("curve"),
        "run": "runs/made-up",
        "train_seconds": 83.4,
        "device": "cpu, 2 threads",
        "cost": 1.27,
    }
    return TrainedModel(**facts | changed)


def report(**changed: Any) -> EvaluationReport:
    facts: dict[str, Any] = {
        "model": model(),
        "split": "test",
        "sample_count": LINE_COUNT,
        "metrics": {"cer": 0.0083, "wer": 0.048, "line_accuracy": 0.952},
        "interval_95": {
            "cer": (0.0055, 0.0116),
            "wer": (0.027, 0.073),
            "line_accuracy": (0.927, 0.973),
            "shifted_unchanged": (0.96, 1.0),
        },
        "baseline_metrics": {"cer": 0.624, "wer": 0.997, "line_accuracy": 0.003},
        "baseline_name": "nearest digit",
        "champion": Opponent(version="v1", archive=artifact("champion")),
        "champion_metrics": {"cer": 0.0102, "wer": 0.053, "line_accuracy": 0.947},
        "difference_95": {"cer": (-0.0041, -0.0002), "wer": (-0.02, 0.009), "line_accuracy": (-0.011, 0.02)},
        "slices": tuple(
            Slice(
                name=name, value=value, sample_count=count, metrics={"cer": cer, "wer": 5 * cer, "line_accuracy": 0.9}
            )
            for name, value, count, cer in [
                ("length", "4 to 5 characters", 124, 0.0054),
                ("length", "6 to 7 characters", 116, 0.008),
                ("length", "8 characters", 60, 0.0144),
                ("source", "inbox/samples", 220, 0.0071),
                ("source", "inbox/corrections", 80, 0.0112),
            ]
        ),
        "decoding": Decoding(name="beam", values={"width": 8, "weight": 0.3}),
        "figures": {"calibration_error": 0.013, "shifted_unchanged": 0.985, "thickened_cer_added": 0.0031},
        "worst": artifact("worst"),
        "details": artifact("details"),
    }
    return EvaluationReport(**facts | changed)


def packaged(**changed: Any) -> PackagedModel:
    judged = report(**changed)
    return PackagedModel(
        report=judged,
        archive=artifact("archive", 4_310_000),
        onnx=artifact("onnx", 4_280_000),
        bento_tag="handwriting:made-up",
        size_bytes=4_310_000,
        metrics=judged.metrics,
        interval_95=judged.interval_95,
        latency_ms=8.31,
        footprint=Footprint(
            latencies=(
                Latency(width_px=256, p50_ms=2.4, p95_ms=2.9, p99_ms=3.3),
                Latency(width_px=1024, p50_ms=8.31, p95_ms=9.1, p99_ms=11.8),
                Latency(width_px=2048, p50_ms=16.9, p95_ms=18.8, p99_ms=24.2),
            ),
            peak_memory_mb=143.2,
        ),
    )


def verdict() -> Verdict:
    champion = "cer minus that of champion v1, on the same lines"
    return Verdict(
        findings=(
            Finding(requirement="cer", bound="at most 0.01", measured=0.0083, met=True, interval_95=(0.0055, 0.0116)),
            Finding(requirement="beats_baseline", bound="at least 1", measured=1, met=True),
            Finding(requirement="latency_ms", bound="at most 10", measured=8.31, met=True),
            Finding(requirement="latency_p99_ms", bound="at most 10", measured=11.8, met=False),
            Finding(requirement="size_mb", bound="at most 50", measured=4.31, met=True),
            Finding(requirement="shifted_unchanged", bound="at least 0.95", measured=0.985, met=True),
            Finding(
                requirement=champion, bound="at most 0", measured=-0.0019, met=True, interval_95=(-0.0041, -0.0002)
            ),
        )
    )


def details() -> Details:
    bins = [(0.72, 0.62), (0.88, 0.84), (0.94, 0.93), (0.965, 0.96), (0.978, 0.97), (0.985, 1), (0.99, 0.985)]
    shares = np.linspace(0.5, 1, 26)
    return Details(
        reliability=tuple(ReliabilityBin(confidence=sure, accuracy=right, line_count=43) for sure, right in bins),
        abstention=tuple(
            AbstentionPoint(
                confidence=1 - share / 5, answered_share=share, metric=0.0083 * ((share - 0.45) / 0.55) ** 3
            )
            for share in shares.tolist()
        ),
        behaviours=(
            Behaviour(name="shifted", line_count=200, unchanged_count=197),
            Behaviour(name="thickened", line_count=200, unchanged_count=188),
            Behaviour(name="slightly_rotated", line_count=200, unchanged_count=191),
            Behaviour(name="on_grey_paper", line_count=200, unchanged_count=200),
        ),
        minimum_sets=(
            MinimumSet(
                name="digits",
                line_count=300,
                metrics={"cer": 0.0083, "line_accuracy": 0.95},
                interval_95=(0.0055, 0.0116),
            ),
            MinimumSet(
                name="accents", line_count=41, metrics={"cer": 0.019, "line_accuracy": 0.95}, interval_95=(0.007, 0.034)
            ),
            MinimumSet(
                name="capitals",
                line_count=88,
                metrics={"cer": 0.011, "line_accuracy": 0.95},
                interval_95=(0.006, 0.018),
            ),
        ),
        decodings=(
            DecodingResult(name="greedy", values={}, metric=0.0091),
            DecodingResult(name="beam", values={"width": 8, "weight": 0.1}, metric=0.0086),
            DecodingResult(name="beam", values={"width": 8, "weight": 0.3}, metric=0.0079),
        ),
    )


def history(*, trials: int = 24, latency: bool = False) -> History:
    random = np.random.default_rng(7)
    return History(
        study="handwriting-4f2a-91bc",
        sampler="tpe",
        pruner="none" if latency else "median",
        objectives=("val_cer", "latency_ms") if latency else ("val_cer",),
        space={
            "learning_rate": SearchDimension(low=5e-4, high=1e-2, log=True),
            "channels": SearchDimension(low=16, high=64, step=8),
            "dropout": SearchDimension(low=0, high=0.4),
            "head": SearchDimension(choices=("plain", "shortcut")),
        },
        trials=tuple(_trial(number, random, latency=latency) for number in range(trials)),
    )


def _trial(number: int, random: np.random.Generator, *, latency: bool) -> Trial:
    rate, channels = float(np.exp(random.uniform(np.log(5e-4), np.log(1e-2)))), int(random.integers(2, 9)) * 8
    end = 0.012 + 0.02 * abs(np.log(rate / 3e-3)) ** 2 + 0.2 / channels * random.uniform(0.8, 1.2) / (1 + number / 12)
    epochs = {epoch: float(end + 0.9 * np.exp(-0.9 * epoch) * random.uniform(0.8, 1.2)) for epoch in range(1, 9)}
    state = "failed" if number == 5 else "pruned" if number > 3 and end > 0.03 and not latency else "complete"
    objectives = (epochs[8], channels * random.uniform(0.24, 0.28)) if latency else (epochs[8],)
    return Trial(
        number=number,
        slot=number,
        state=state,
        values={
            "learning_rate": rate,
            "channels": channels,
            "dropout": float(random.uniform(0, 0.4)),
            "head": str(random.choice(["plain", "shortcut"])),
        },
        seed=number,
        objectives=objectives if state == "complete" else None,
        epochs={epoch: value for epoch, value in epochs.items() if state == "complete" or epoch < 3 + number % 3},
        seconds=122 if state == "complete" else 41,
        error="the loss is no number after epoch 2; lower the learning rate" if state == "failed" else None,
    )


@cache
def drawn_lines() -> tuple[LineResult, ...]:
    random = np.random.default_rng(3)
    lines = []
    for number, line in enumerate(draw_lines(seed=1, counts={"test": LINE_COUNT})):
        text = "".join(RESEMBLING[digit] if random.random() < 0.02 else digit for digit in line.text)
        text = text if random.random() > 0.015 else text[:-1]
        lines.append(
            LineResult(
                key=f"images/{number:05}.png",
                truth=line.text,
                text=text,
                confidence=float(random.beta(14, 2) if text != line.text else random.beta(60, 1)),
                edit_count=Levenshtein.distance(line.text, text),
                group=f"writer {number % 14}",
                source="inbox/samples",
                pixels=lambda pixels=line.pixels: pixels,  # type: ignore[misc]
                champion_text=line.text if number % 2 else text,
            )
        )
    return tuple(lines)


def learning(epochs: int = 14) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(epoch),
            "train_loss": 4.2 * float(np.exp(-0.34 * epoch)) + 0.05,
            "val_loss": 3.6 * float(np.exp(-0.36 * epoch)) + 0.07 + 0.002 * max(0, epoch - 9),
            "val_cer": min(1.0, 2.4 * float(np.exp(-0.62 * epoch)) + 0.0079 + 0.0006 * abs(epoch - 12)),
        }
        for epoch in range(1, epochs + 1)
    ]


def whole_page() -> Page:
    return Page(
        packaged=packaged(),
        verdict=verdict(),
        curve=learning(),
        lines=drawn_lines(),
        rejected={"empty label": 3, "image is truncated": 1},
        details=details(),
        history=history(),
        higher_is_better=frozenset({"line_accuracy"}),
    )


def bare_page(**changed: Any) -> Page:
    """What is left if nothing was searched, no champion met, and nothing but the metrics measured."""
    first = report(
        model=model(study=None),
        champion=None,
        champion_metrics=None,
        difference_95=None,
        slices=(),
        figures={},
        decoding=Decoding(),
    )
    whole = whole_page()
    page = replace(
        whole,
        packaged=whole.packaged.model_copy(update={"report": first}),
        verdict=Verdict(findings=()),
        curve=(),
        lines=(),
        rejected={},
        details=EMPTY,
        history=None,
    )
    return replace(page, **changed)
