import io
import json
from pathlib import Path

import pytest
from PIL import Image

from loopline.problems.handwriting.samples import DIGIT_COUNTS, HEIGHTS_PX, WIDTHS_PX, Line, draw_lines, write_samples

COUNTS = {"train": 40, "validation": 12, "test": 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, seed=7, counts=COUNTS)
    return folder


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """Enough of them to use nearly every stroke image."""
    return list(draw_lines(seed=7, counts={"train": 400, "validation": 200, "test": 200}))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_samples(tmp_path, seed=7, counts=COUNTS)
    assert contents(tmp_path) == contents(folder)


def test_another_seed_gives_other_lines(folder: Path, tmp_path: Path) -> None:
    write_samples(tmp_path, seed=8, counts=COUNTS)
    assert (tmp_path / "labels.json").read_text() != (folder / "labels.json").read_text()


def test_labels_and_splits_name_exactly_the_images(folder: Path) -> None:
    images = {str(path.relative_to(folder)) for path in (folder / "images").iterdir()}
    labels = json.loads((folder / "labels.json").read_text())
    splits = json.loads((folder / "splits.json").read_text())
    assert set(labels) == images
    assert sorted(name for names in splits.values() for name in names) == sorted(images)
    assert {split: len(names) for split, names in splits.items()} == COUNTS


def test_file_holds_the_line_its_label_tells(folder: Path) -> None:
    drawn = list(draw_lines(seed=7, counts=COUNTS))
    labels = json.loads((folder / "labels.json").read_text())
    assert list(labels.values()) == [line.text for line in drawn]
    for name, line in zip(labels, drawn, strict=True):
        assert Image.open(io.BytesIO((folder / name).read_bytes())).tobytes() == line.pixels.tobytes()


def test_more_lines_leave_the_first_ones_as_they_were(folder: Path) -> None:
    fewer = list(draw_lines(seed=7, counts={"train": 3}))
    labels = json.loads((folder / "labels.json").read_text())
    assert [line.text for line in fewer] == list(labels.values())[:3]


def test_no_stroke_image_stands_on_two_sides(lines: list[Line]) -> None:
    used = {
        split: {stroke for line in lines if line.split == split for stroke in line.stroke_ids}
        for split in ("train", "validation", "test")
    }
    assert sum(len(strokes) for strokes in used.values()) == len(set.union(*used.values()))
    assert min(len(strokes) for strokes in used.values()) > 200


def test_every_split_has_every_digit_about_as_often(lines: list[Line]) -> None:
    for split in ("train", "validation", "test"):
        text = "".join(line.text for line in lines if line.split == split)
        assert all(0.06 < text.count(digit) / len(text) < 0.14 for digit in "0123456789")


def test_every_line_has_four_to_eight_digits(lines: list[Line]) -> None:
    assert all(line.text.isdigit() and len(line.text) == len(line.stroke_ids) for line in lines)
    assert {len(line.text) for line in lines} == set(range(DIGIT_COUNTS[0], DIGIT_COUNTS[1] + 1))


def test_lines_have_the_size_of_a_written_line(lines: list[Line]) -> None:
    for line in lines:
        height_px, width_px = line.pixels.shape
        assert HEIGHTS_PX[0] <= height_px <= HEIGHTS_PX[1]
        assert WIDTHS_PX[0] <= width_px <= WIDTHS_PX[1]


def test_ink_stands_out_from_the_paper_and_stays_inside_the_line(lines: list[Line]) -> None:
    for line in lines:
        darkest, paper = float(line.pixels.min()), float(line.pixels.mean())
        assert paper - darkest > 40
        assert line.pixels[:, 0].mean() > darkest + 0.3 * (paper - darkest)
        assert line.pixels[:, -1].mean() > darkest + 0.3 * (paper - darkest)
