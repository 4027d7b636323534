"""Files that Label Studio exported, and files that it did not: what is in them, and which image each task shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from loopline.errors import ConfigError, DataError
from loopline.exported import address_of, read_export
from loopline.exported_images import image_finder
from loopline.problems import load_problem

PROBLEM = load_problem("handwriting")
DIGEST = "ab" * 32


def written(folder: Path, content: Any) -> Path:
    path = folder / "export.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[{", "can't be read as JSON"),
        (b"", "can't be read as JSON"),
        (b"[" * 100_000, "can't be read as JSON"),
        (b'[{"id": NaN}]', "NaN is no number"),
        (b"\xff\xfe[]", "is not UTF-8"),
        ({"images": [], "annotations": []}, "holds no list of tasks but one JSON object"),
        ("text", "holds no list of tasks but one JSON str"),
        ([], "holds an empty list"),
        ([{"image": "x.png", "text": "one"}, 3, None, []], "none of the 4 entries"),
        ([{"data": "x.png"}], "none of the 1 entries"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_of_something_else_is_told_in_one_sentence(tmp_path: Path, content: Any, sentence: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=sentence) as refused:
        read_export(path, PROBLEM)
    assert str(path) in str(refused.value) and "export the project as JSON" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_export(tmp_path / "none.json", PROBLEM)
    with pytest.raises(ConfigError, match="Is a directory"):
        read_export(tmp_path, PROBLEM)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (task,) = read_export(written(tmp_path, b'\xef\xbb\xbf[{"id": 4, "data": {"image": "x.png"}}]'), PROBLEM)
    assert (task.name, task.said, task.fault) == ("task 4", (), "")


def test_the_minimal_form_says_the_same(tmp_path: Path) -> None:
    record = {
        "id": 4,
        "ocr": "/data/upload/1/0a1b2c3d-x.png",
        "captioning": "Dear Ada,",
        "quality": "Bad",
        "annotator": 7,
        "annotation_id": 9,
        "created_at": "2026-11-23T13:17:53.437337Z",
        "updated_at": "2026-11-23T13:17:54.437337Z",
        "lead_time": 3.5,
    }
    (task,) = read_export(written(tmp_path, [record]), PROBLEM)
    (said,) = task.said
    assert task.references == {"ocr": "/data/upload/1/0a1b2c3d-x.png"}
    assert (said.annotator, said.seconds) == ("imported-7@loopline.invalid", 3.5)
    assert [(region["from_name"], region["value"]) for region in said.result] == [
        ("captioning", {"text": ["Dear Ada,"]}),
        ("quality", {"choices": ["Bad"]}),
    ]


@pytest.mark.parametrize(
    ("completed_by", "address"),
    [
        (7, "imported-7@loopline.invalid"),
        ({"id": 7}, "imported-7@loopline.invalid"),
        ({"id": 7, "email": "Ann@Example.com", "first_name": "Ann"}, "ann@example.com"),
        ({"id": 7, "email": "no address"}, "imported-7@loopline.invalid"),
        ("ann@example.com", "ann@example.com"),
        (None, "imported@loopline.invalid"),
        ({}, "imported@loopline.invalid"),
    ],
    ids=str,
)
def test_a_person_has_one_address(completed_by: Any, address: str) -> None:
    assert address_of(completed_by) == address


@pytest.mark.parametrize("odd", ["x" * 1000, "\ud800", "a b@c", [1, 2], {"deep": 1}], ids=ascii)
def test_people_who_are_named_oddly_stay_apart_and_can_be_users(odd: Any) -> None:
    address = address_of({"id": odd})
    assert address.isascii() and len(address) < 60
    assert address != address_of({"id": [odd]})


def row(key: str, digest: str = "", *, reason: str | None = None) -> dict[str, Any]:
    return {"key": key, "image_sha256": digest or key, "quarantine_reason": reason}


KEYS = ["x.png", "sub/y.png", "one/z.png", "two/z.png", "my line (1).png", "50%.png", "é.png", "0a1b2c3d-w.png"]
MATCH = image_finder([*map(row, KEYS), row("bad.png", reason="empty"), row("ours.png", DIGEST)])


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("x.png", "x.png"),
        ("./x.png", "x.png"),
        ("s3://bucket/x.png", "x.png"),
        ("s3://bucket/scans/2026/x.png", "x.png"),
        ("gs://bucket/sub/y.png", "sub/y.png"),
        ("s3://bucket/50%.png", "50%.png"),
        ("50%25.png", "50%.png"),
        ("https://example.com/scans/x.png?X-Amz-Signature=ab/cd&path=/sub/y.png", "x.png"),
        ("https://example.com/%C3%A9.png", "é.png"),
        ("e\u0301.png", "é.png"),
        ("/data/upload/1/0a1b2c3d-x.png", "x.png"),
        ("/data/upload/0a1b2c3d-y.png", "sub/y.png"),
        ("http://127.0.0.1:8080/data/upload/1/0a1b2c3d-x.png", "x.png"),
        ("/data/upload/1/0a1b2c3d-w.png", "0a1b2c3d-w.png"),
        ("/data/upload/1/0a1b2c3d-my_line_1.png", "my line (1).png"),
        ("/data/local-files/?d=x.png", "x.png"),
        ("/data/local-files/?d=scans%2Fsub%2Fy.png", "sub/y.png"),
        ("/data/local-files/?d=one/z.png", "one/z.png"),
        ("y.png", "sub/y.png"),
        ("C:\\scans\\one\\z.png", "one/z.png"),
        (f"s3://bucket/blobs/{DIGEST}", DIGEST),
    ],
)
@pytest.mark.parametrize("field", ["image", "ocr", "any name"])
def test_the_end_of_a_name_decides(reference: str, key: str, field: str) -> None:
    assert MATCH({field: reference, "text": "Dear Ada,", "number": 3, "none": None}) == key


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"image": "z.png"}, "several such images: z.png"),
        ({"image": "three/z.png"}, "no such image: three/z.png"),
        ({"image": "s3://bucket/three/y.png"}, "no such image"),
        ({"image": "/data/local-files/?d=three/x.png/"}, "no such image"),
        ({"image": "bad.png"}, "image quarantined"),
        ({"a": "x.png", "b": "sub/y.png"}, "several such images"),
        ({"image": f"s3://bucket/blobs/{'cd' * 32}", "key": "x.png"}, "no such image"),
        ({"image_sha256": "cd" * 32, "key": "x.png"}, "no such image"),
        ({"image": "http://[broken/x.png"}, "no such image"),
        ({"image": "data:image/png;base64," + "A" * 10_000}, "no such image: no name"),
        ({"image": None}, "no such image: no name"),
        ({"image": "\ud800.png"}, "no such image: "),
    ],
    ids=ascii,
)
def test_what_can_not_be_told_has_its_reason(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as refused:
        MATCH(data)
    assert str(refused.value).startswith(reason) and str(refused.value).isascii()


def test_one_image_under_two_keys_is_one() -> None:
    match = image_finder([row("one/z.png", DIGEST), row("two/z.png", DIGEST)])
    assert match({"image": "z.png"}) == DIGEST
