"""Which of a problem's ways to decode a trained network reads the validation lines best, and clearly so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loopline.contracts import Decoding
from loopline.details import DecodingResult
from loopline.judging import LEAST_UNITS, Tally, paired_interval_95, totals
from loopline.problems import Decode, Problem, Sample
from loopline.serving import Run, batches


@dataclass(frozen=True)
class Chosen:
    """The way to decode, without its language stored yet; the language is empty where it needs none."""

    decode: Decode
    decoding: Decoding
    language: bytes
    results: tuple[DecodingResult, ...]


def choose(
    problem: Problem,
    recipe: Any,
    *,
    vocabulary: Sequence[str],
    run: Run,
    train: Sequence[Sample],
    val: Sequence[Sample],
) -> Chosen:
    """Read the validation lines with each of the problem's decodings, running the network once, and take the best.

    The simplest stays unless the best is clearly better: unless the paired 95 % interval of their difference, on at
    least ten lines, lies wholly on the better side. Those who decode with language must be worth its size and time.
    """
    language, decodings = problem.language([sample.label for sample in train]), problem.decodings()
    decoders = [problem.decoder(decoding, vocabulary=vocabulary, language=language) for decoding in decodings]
    tallies = _read(problem, recipe, run=run, decoders=decoders, val=val)
    first = next(iter(tallies[0][0]))
    metrics = [totals(counted)[first] for counted in tallies]
    number = _best(tallies, metrics, groups=[sample.group or sample.image_sha256 for sample in val], problem=problem)
    return Chosen(
        decode=decoders[number],
        decoding=decodings[number],
        language=language if number else b"",
        results=tuple(
            DecodingResult(name=decoding.name, values=decoding.values, metric=metric)
            for decoding, metric in zip(decodings, metrics, strict=True)
        ),
    )


def _read(
    problem: Problem, recipe: Any, *, run: Run, decoders: Sequence[Decode], val: Sequence[Sample]
) -> list[list[Tally]]:
    """Return the count of every line's errors, for each decoder."""
    lines = [sample.pixels() for sample in val]
    found: list[dict[int, Tally]] = [{} for _ in decoders]
    for chosen in batches(lines):
        fed = problem.inputs([lines[number] for number in chosen], recipe)
        said = run(fed)
        for decode, tallies in zip(decoders, found, strict=True):
            for number, answer in zip(chosen, problem.answers(said, fed, decode=decode), strict=True):
                tallies[number] = problem.tally(val[number].label, answer.text)
    return [[tallies[number] for number in range(len(lines))] for tallies in found]


def _best(
    tallies: Sequence[Sequence[Tally]], metrics: Sequence[float], *, groups: Sequence[str], problem: Problem
) -> int:
    """Return the number of the best if it is clearly better than the first, else 0."""
    name = next(iter(tallies[0][0]))
    more_is_better = name in problem.higher_is_better
    best = (max if more_is_better else min)(range(len(metrics)), key=lambda number: metrics[number])
    if len(groups) < LEAST_UNITS:
        return 0
    low, high = paired_interval_95(tallies[best], tallies[0], groups=groups)[name]
    return best if (low > 0 if more_is_better else high < 0) else 0
