"""What a mean hides: changes of a line that must not change its answer, and characters that are judged apart.

After Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList": invariance tests and
minimum functionality tests. What is asked comes from the problem.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loopline.details import Behaviour, MinimumSet
from loopline.judging import LEAST_UNITS, Interval, Tally, totals
from loopline.problems import Answer, Pixels, Problem, Sample

PROBED_LINES = 100  # of a split, for each behaviour: a share of 95 % is then known to within some 4 points

Read = Callable[[Sequence[Pixels]], Sequence[Answer]]


@dataclass(frozen=True)
class Probe:
    """One question: which lines of a split it was asked of, and their counts, under the names of its figures."""

    name: str
    numbers: Sequence[int]
    tallies: Sequence[Tally]

    @property
    def behaviour(self) -> Behaviour:
        """The probe as a behaviour."""
        unchanged = sum(int(next(iter(tally.values()))[0]) for tally in self.tallies)
        return Behaviour(name=self.name, line_count=len(self.numbers), unchanged_count=unchanged)

    def minimum_set(self, intervals: Mapping[str, Interval]) -> MinimumSet:
        """The probe as a minimum set, with the interval of the first metric among those of all figures."""
        found = totals(self.tallies)
        return MinimumSet(
            name=self.name,
            line_count=len(self.numbers),
            metrics={figure.removeprefix(f"{self.name}_"): value for figure, value in found.items()},
            interval_95=intervals[next(iter(found))],
        )


def figure_names(problem: Problem) -> list[str]:
    """Return every figure that the problem's probes can measure."""
    sets = [f"{name}_{metric}" for name in problem.minimum_sets for metric in _set_metrics(problem)]
    return [*(figure for name in problem.behaviours for figure in _behaviour_figures(problem, name)), *sets]


def probe_behaviours(
    problem: Problem, read: Read, *, samples: Sequence[Sample], answers: Sequence[Answer]
) -> list[Probe]:
    """Read changed lines, spread over the split, and count what each behaviour did to their answers.

    <name>_unchanged is the share of lines whose answer stayed the same; <name>_<metric>_added by how much the first
    metric rose. Long lines seldom stay the same to the last character, though their errors hardly grow in number.
    """
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), PROBED_LINES)).round().astype(int).tolist()
    lines = [samples[number].pixels() for number in chosen]
    probes = []
    for name, change in problem.behaviours.items():
        changed = read([change(line) for line in lines])
        tallies = [
            _shaken(problem, name, label=samples[number].label, texts=(answers[number].text, answer.text))
            for number, answer in zip(chosen, changed, strict=True)
        ]
        probes.append(Probe(name, chosen, tallies))
    return probes


def probe_minimum_sets(problem: Problem, *, samples: Sequence[Sample], answers: Sequence[Answer]) -> list[Probe]:
    """Count the errors in each set's characters alone, for the sets that enough lines have some of.

    The characters of a set are taken out of label and answer, in their order, and compared: an answer without a
    label's accent, or with one too many, has an error there, and nothing else has.
    """
    probes = []
    for name, belongs in problem.minimum_sets.items():
        numbers = [number for number, sample in enumerate(samples) if any(map(belongs, sample.label))]
        pairs = [(_kept(samples[n].label, belongs), _kept(answers[n].text, belongs)) for n in numbers]
        counts = [problem.tally(truth, text) for truth, text in pairs]
        tallies = [{f"{name}_{metric}": found[metric] for metric in _set_metrics(problem)} for found in counts]
        if len(numbers) >= LEAST_UNITS:
            probes.append(Probe(name, numbers, tallies))
    return probes


def _behaviour_figures(problem: Problem, name: str) -> tuple[str, str]:
    return f"{name}_unchanged", f"{name}_{next(iter(problem.tally('', '')))}_added"


def _shaken(problem: Problem, name: str, *, label: str, texts: tuple[str, str]) -> Tally:
    """Count on one line, read before and after: the difference of a metric is a tally too."""
    (before, whole), (after, _) = (next(iter(problem.tally(label, text).values())) for text in texts)
    unchanged, added = _behaviour_figures(problem, name)
    return {unchanged: (float(texts[0] == texts[1]), 1.0), added: (after - before, whole)}


def _set_metrics(problem: Problem) -> list[str]:
    """Return the first metric, and the pass rates: those of which more is better."""
    first, *others = problem.tally("", "")
    return [first, *(metric for metric in others if metric in problem.higher_is_better)]


def _kept(text: str, belongs: Callable[[str], bool]) -> str:
    return "".join(filter(belongs, text))
