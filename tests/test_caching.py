"""What decides that a step has to run again."""

from pathlib import Path

import pytest

from loopline.contracts import Artifact, LabeledDataset, RawDataset
from loopline.orders import FitPlan, SplitPlan
from tasks import caching
from tasks.caching import problem_of, source_digests


def labeled(manifest: str = "a", scans: str = "b") -> LabeledDataset:
    raw = RawDataset(problem="p", manifest=artifact(scans), image_count=1, quarantined_count=0, source="inbox/x")
    return LabeledDataset(problem="p", manifest=artifact(manifest), label_count=1, rejected_count=0, raw=raw)


def artifact(letter: str, uri: str = "here") -> Artifact:
    return Artifact(sha256=letter * 64, size_bytes=1, uri=uri)


def test_more_unlabelled_scans_are_the_same_content() -> None:
    assert labeled(scans="b").digest == labeled(scans="c").digest
    assert labeled(manifest="b").digest != labeled(manifest="a").digest


def test_bytes_elsewhere_are_the_same_content() -> None:
    assert artifact("a", "here").digest == artifact("a", "there").digest


def test_contracts_of_another_type_are_other_content() -> None:
    assert FitPlan().digest != SplitPlan().digest


def test_a_comment_is_no_change_and_a_statement_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "ROOT", tmp_path)
    (tmp_path / "loopline/problems/p").mkdir(parents=True)
    source = tmp_path / "step.py"
    found = []
    for text in ("A = 1\n", "# why\n\nA = 1  # one\n", "A = 2\n"):
        source.write_text(text)
        source_digests.cache_clear()
        found.append(source_digests(("step.py",), "p")["step.py"])
    assert found[0] == found[1] != found[2]


def test_every_named_source_exists() -> None:
    source_digests.cache_clear()
    for task in ("version", "baseline", "train", "evaluate", "package", "gate", "announce"):
        module = __import__(f"tasks.{task}", fromlist=["*"])
        steps = [value for value in vars(module).values() if hasattr(value, "cache_policy")]
        for step in steps:
            assert source_digests(getattr(step.cache_policy, "sources", ()), "handwriting")


def test_the_problem_is_found_however_deep_it_lies() -> None:
    assert problem_of({"labeled": labeled(), "split": SplitPlan()}) == "p"
