import io
import json
import logging
import subprocess
import sys
import time
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image, ImageDraw

from loopline.clients.store import Store, StoredObject
from loopline.contracts import Artifact, KeyRange, RawDataset
from loopline.errors import ConfigError, DataError
from loopline.intake import mirror_folder, take_images
from loopline.key_ranges import MAX_BYTES, Spread, judge_range
from loopline.manifest import IMAGES, read_manifest
from loopline.settings import StoreSettings

SOURCE = "inbox/lines"


@pytest.fixture
def settings(s3_server: StoreSettings) -> StoreSettings:
    return s3_server.model_copy(update={"bucket": f"intake-{uuid.uuid4().hex[:8]}"})


@pytest.fixture
def store(settings: StoreSettings) -> Store:
    return opened(settings)


def opened(settings: StoreSettings) -> Store:
    store = Store(settings)
    store.ensure_bucket()
    return store


def picture(number: int, form: str = "PNG") -> bytes:
    image = Image.new("L", (60 + number % 7, 24), 255)
    ImageDraw.Draw(image).text((5, 5), str(number))
    target = io.BytesIO()
    image.save(target, form)
    return target.getvalue()


def fill(store: Store, contents: dict[str, bytes], source: str = SOURCE) -> None:
    store.upload_all({f"{source}/{key}": data for key, data in contents.items()})


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def take(store: Store, source: str = SOURCE, *, spread: Spread | None = None) -> RawDataset:
    return take_images(store, "handwriting", source, spread=spread, range_count=7)


def elsewhere(settings: StoreSettings) -> Spread:
    """Have ranges judged through another client of the store."""
    return partial(map, partial(judge_range, Store(settings)))


def keys_below(store: Store, prefix: str) -> set[str]:
    return {entry.key.removeprefix(f"{prefix}/") for entry in store.list(f"{prefix}/")}


def test_good_images_become_blobs_and_bad_ones_are_set_aside(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    good = {"b/2.jpg": picture(2, "JPEG"), "a/1.png": picture(1), "really.jpg": picture(3, "WEBP")}
    bad = {"empty.png": b"", "cut.png": picture(4)[:60], "text.png": b"hello", "cut2.jpg": picture(5, "JPEG")[:-40]}
    fill(store, good | bad)
    with caplog.at_level(logging.INFO):
        raw = take(store)
    assert (raw.problem, raw.image_count, raw.quarantined_count, raw.source) == ("handwriting", 3, 4, SOURCE)
    rows = read_manifest(store, raw.manifest, schema=IMAGES).to_pylist()
    assert [row["key"] for row in rows] == sorted(good | bad)
    assert {row["key"]: row["image_sha256"] for row in rows} == {
        key: digest(data) for key, data in (good | bad).items()
    }
    assert {row["key"]: row["size_bytes"] for row in rows} == {key: len(data) for key, data in (good | bad).items()}
    one = rows[0]
    assert (one["width_px"], one["height_px"], len(one["perceptual_hash"]), one["quarantine_reason"]) == (
        61,
        24,
        64,
        None,
    )
    reasons = {row["key"]: row["quarantine_reason"] for row in rows if row["width_px"] is None}
    assert reasons == {
        "empty.png": "zero bytes",
        "cut.png": "truncated",
        "cut2.jpg": "truncated",
        "text.png": "not a PNG, JPEG, WEBP or TIFF image",
    }
    assert {key: store.read(f"blobs/{key}") for key in keys_below(store, "blobs")} == {
        digest(data): data for data in good.values()
    }
    for key, data in bad.items():
        assert store.read(f"quarantine/{digest(data)}") == data
        note = json.loads(store.read(f"quarantine/{digest(data)}.json"))
        assert note == {"key": f"{SOURCE}/{key}", "reason": reasons[key]}
    assert caplog.messages == [
        "ingest: 3 images, 4 quarantined (2 truncated, 1 not a PNG, JPEG, WEBP or TIFF image, 1 zero bytes), 7 new"
    ]


def test_only_what_is_new_or_changed_is_read(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    fill(store, {"1.png": picture(1), "2.png": picture(2)})
    first = take(store)
    for key in (digest(picture(1)), digest(picture(2))):
        store.delete(f"blobs/{key}")  # would come back if its image were read again
    with caplog.at_level(logging.INFO):
        assert take(store) == first
    assert caplog.messages[-1].endswith("2 images, 0 quarantined, 0 new")
    assert keys_below(store, "blobs") == set()
    fill(store, {"2.png": picture(22), "3.png": picture(3)})
    with caplog.at_level(logging.INFO):
        assert take(store).image_count == 3
    assert caplog.messages[-1].endswith("3 images, 0 quarantined, 2 new")
    assert keys_below(store, "blobs") == {digest(picture(22)), digest(picture(3))}


def test_quarantined_image_is_taken_once_it_is_mended(store: Store) -> None:
    fill(store, {"1.png": picture(1), "2.png": b"oops"})
    assert take(store).quarantined_count == 1
    fill(store, {"2.png": picture(2)})
    assert take(store).quarantined_count == 0


def test_same_image_twice_is_stored_once(store: Store) -> None:
    fill(store, {"a.png": picture(1), "b/a.png": picture(1)})
    raw = take(store)
    assert raw.image_count == 2
    assert keys_below(store, "blobs") == {digest(picture(1))}


def test_removed_image_leaves_the_manifest_and_its_blob_stays(store: Store) -> None:
    fill(store, {"1.png": picture(1)})
    only_one = take(store)
    fill(store, {"2.png": picture(2)})
    take(store)
    store.delete(f"{SOURCE}/2.png")
    assert take(store) == only_one
    assert digest(picture(2)) in keys_below(store, "blobs")


def test_same_content_gives_the_same_bytes_in_another_bucket(settings: StoreSettings) -> None:
    contents = {f"{number:02}.png": picture(number) for number in range(30)} | {"bad.png": b"oops"}
    at_once = opened(settings)
    fill(at_once, contents)
    other = opened(settings.model_copy(update={"bucket": f"{settings.bucket}-b", "prefix": "deep/down"}))
    for keys in (sorted(contents)[20:], sorted(contents)[:20]):
        fill(other, {key: contents[key] for key in keys}, "inbox/elsewhere")
        raw = take(other, "inbox/elsewhere")
    assert raw.digest == take(at_once).digest
    assert raw.manifest.uri == f"manifests/{raw.manifest.sha256}.parquet"


def test_url_of_the_source_is_accepted(store: Store) -> None:
    fill(store, {"1.png": picture(1)})
    assert take(store, store.url(f"{SOURCE}/")) == take(store, f"/{SOURCE}/") == take(store)


def test_sidecars_hidden_files_and_neighbours_are_no_images(store: Store) -> None:
    fill(
        store, {"1.png": picture(1), "labels.json": b"{}", "x/lines.JSONL": b"", ".DS_Store": b"", ".thumbs/1.png": b""}
    )
    fill(store, {"2.png": picture(2)}, f"{SOURCE}-more")
    raw = take(store)
    assert (raw.image_count, raw.quarantined_count) == (1, 0)


def test_killed_run_is_made_good_by_the_next(store: Store, settings: StoreSettings) -> None:
    contents = {f"{number % 10}/{number}.png": picture(number) for number in range(250)} | {"bad.png": b"oops"}
    fill(store, contents)
    script = (
        "import sys; from loopline.clients.store import Store; from loopline.intake import take_images;"
        "from loopline.settings import StoreSettings;"
        "take_images(Store(StoreSettings.model_validate_json(sys.stdin.read())), 'handwriting', sys.argv[1])"
    )
    secret = {"secret_key": "testsecret"}
    run = subprocess.Popen([sys.executable, "-c", script, SOURCE], stdin=subprocess.PIPE)
    assert run.stdin
    run.stdin.write(json.dumps(settings.model_dump() | secret).encode())
    run.stdin.close()
    while len(keys_below(store, "blobs")) < 10 and run.poll() is None:
        time.sleep(0.02)
    run.kill()
    assert run.wait() == -9
    assert not keys_below(store, "manifests")
    raw = take(store)
    assert (raw.image_count, raw.quarantined_count) == (250, 1)
    assert keys_below(store, "blobs") == {digest(data) for data in contents.values()} - {digest(b"oops")}
    untouched = opened(settings.model_copy(update={"prefix": "untouched"}))
    fill(untouched, contents)
    assert take(untouched) == raw


def test_ranges_that_others_judge_come_to_the_same(settings: StoreSettings, store: Store) -> None:
    contents = {f"{number % 10}/{number}.png": picture(number) for number in range(30)} | {"bad.png": b"oops"}
    fill(store, contents)
    raw = take(store, spread=elsewhere(settings))
    untouched = opened(settings.model_copy(update={"prefix": "untouched"}))
    fill(untouched, contents)
    assert take(untouched) == raw
    for prefix in ("index", "blobs", "quarantine"):
        assert contents_below(store, prefix) == contents_below(untouched, prefix)
    assert take(store, spread=unneeded) == raw


def unneeded(ranges: Iterable[KeyRange]) -> Iterator[Artifact]:
    """Fail if there is a range to judge."""
    assert not list(ranges)
    return iter(())


def contents_below(store: Store, prefix: str) -> dict[str, bytes]:
    return {key: store.read(f"{prefix}/{key}") for key in keys_below(store, prefix)}


@pytest.mark.parametrize("others", [False, True])
def test_image_deleted_before_it_is_read_is_left_out_and_told(
    settings: StoreSettings, store: Store, caplog: pytest.LogCaptureFixture, others: bool
) -> None:
    class Slippery(Store):
        def list(self, prefix: str) -> Iterator[StoredObject]:
            for entry in super().list(prefix):
                if entry.key.endswith("2.png"):
                    self.delete(entry.key)
                yield entry

    fill(store, {"1.png": picture(1), "2.png": picture(2)})
    with caplog.at_level(logging.INFO):
        raw = take(Slippery(settings), spread=elsewhere(settings) if others else None)
    assert raw.image_count == 1
    assert any("2.png" in message and "deleted" in message for message in caplog.messages)
    assert take(store) == raw


@pytest.mark.parametrize("harm", ["garbage", "cut", "older rules"])
def test_unusable_index_costs_time_not_data(store: Store, harm: str) -> None:
    fill(store, {"1.png": picture(1), "2.png": b"oops"})
    raw = take(store)
    (index,) = (entry.key for entry in store.list("index/"))
    whole = store.read(index)
    aged = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(whole)).replace_schema_metadata({"rules": "0"}), aged)
    harmed = {"garbage": b"PAR1 not really", "cut": whole[: len(whole) // 2], "older rules": aged.getvalue()}
    store.write(index, harmed[harm])
    assert take(store) == raw
    assert store.read(index) == whole


def test_huge_object_is_set_aside_without_being_read_into_memory(store: Store, tmp_path: Path) -> None:
    huge = tmp_path / "huge.tiff"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    sha256_of_huge = store.put(huge, f"{SOURCE}/huge.tiff").sha256
    fill(store, {"1.png": picture(1)})
    raw = take(store)
    (row,) = (row for row in read_manifest(store, raw.manifest, schema=IMAGES).to_pylist() if row["key"] == "huge.tiff")
    assert (row["image_sha256"], row["quarantine_reason"]) == (sha256_of_huge, "over 128 MB")
    assert store.exists(f"quarantine/{sha256_of_huge}")


def test_keys_that_no_file_system_has_are_taken_all_the_same() -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        store = opened(StoreSettings(endpoint=f"http://{host}:{port}", access_key="any", secret_key="any"))
        names = [
            "a//b",
            "../../up",
            "./here",
            "up\\back",
            "trailing ",
            "dot.",
            "CON",
            "Aa",
            "aA",
            "x" * 900,
        ]
        names += [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
        fill(store, {name: picture(number) for number, name in enumerate(names)})
        raw = take(store)
        assert read_manifest(store, raw.manifest, schema=IMAGES)["key"].to_pylist() == sorted(names)
        assert all(len(key) == 64 for key in keys_below(store, "blobs"))
    finally:
        server.stop()


@pytest.mark.parametrize("contents", [{}, {"labels.json": b"{}"}])
def test_source_without_images_says_what_to_do(store: Store, contents: dict[str, bytes]) -> None:
    fill(store, contents)
    with pytest.raises(DataError, match=f"no images under {store.url(SOURCE)}/; put some there"):
        take(store)
    assert not keys_below(store, "manifests")


def test_source_with_nothing_usable_says_why(store: Store) -> None:
    fill(store, {"1.png": b"", "2.png": b"", "3.png": b"oops"})
    for _ in range(2):
        with pytest.raises(DataError, match=r"3 quarantined \(2 zero bytes, 1 not a PNG"):
            take(store)


@pytest.mark.parametrize(
    "source", ["", "/", "inbox/../blobs", "s3://another/inbox", "https://example.com/inbox", "a//b"]
)
def test_source_that_is_no_place_in_the_store_is_refused(store: Store, source: str) -> None:
    with pytest.raises(ConfigError, match=r"inbox/lines|bring the images there"):
        take(store, source)


def test_folder_is_mirrored(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".git").mkdir()
    files = {"labels.json": b"{}", "1.png": picture(1), "deep/er/2.png": picture(2), "deep/3.png": picture(3)}
    for key, data in (files | {".git/config": b"", "deep/.DS_Store": b""}).items():
        (folder / key).write_bytes(data)
    store.write("inbox/folder-of-another/1.png", b"stays")
    assert mirror_folder(store, folder, "inbox/folder") == 4
    assert {key: store.read(f"inbox/folder/{key}") for key in keys_below(store, "inbox/folder")} == files
    assert mirror_folder(store, folder, "inbox/folder") == 0
    (folder / "1.png").write_bytes(picture(1)[:-1] + b"!")  # as long as before
    (folder / "deep" / "3.png").unlink()
    assert mirror_folder(store, folder, "inbox/folder") == 1
    assert keys_below(store, "inbox/folder") == {"labels.json", "1.png", "deep/er/2.png"}
    assert store.read("inbox/folder/1.png").endswith(b"!")
    assert store.exists("inbox/folder-of-another/1.png")


def test_folder_may_turn_into_a_file_and_back(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "folder" / "a"
    place.mkdir(parents=True)
    (place / "b.png").write_bytes(picture(1))
    mirror_folder(store, tmp_path / "folder", SOURCE)
    (place / "b.png").unlink()
    place.rmdir()
    place.write_bytes(picture(2))
    mirror_folder(store, tmp_path / "folder", SOURCE)
    assert keys_below(store, SOURCE) == {"a"}
    place.unlink()
    place.mkdir()
    (place / "b.png").write_bytes(picture(1))
    mirror_folder(store, tmp_path / "folder", SOURCE)
    assert keys_below(store, SOURCE) == {"a/b.png"}


def test_name_has_one_spelling_in_the_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / unicodedata.normalize("NFD", "café.png")).write_bytes(picture(1))
    mirror_folder(store, tmp_path, SOURCE)
    assert keys_below(store, SOURCE) == {unicodedata.normalize("NFC", "café.png")}
    (tmp_path / unicodedata.normalize("NFC", "café.png")).write_bytes(picture(1))
    with pytest.raises(DataError, match="two Unicode spellings"):
        mirror_folder(store, tmp_path, SOURCE)


@pytest.mark.parametrize("name", [b"new\nline.png", b"\xff.png"])
def test_file_name_that_no_key_can_have_is_refused(store: Store, tmp_path: Path, name: bytes) -> None:
    Path(str(tmp_path), name.decode("utf-8", "surrogateescape")).write_bytes(picture(1))
    with pytest.raises(DataError, match="rename"):
        mirror_folder(store, tmp_path, SOURCE)


def test_folder_that_is_missing_or_empty_is_refused(store: Store, tmp_path: Path) -> None:
    store.write(f"{SOURCE}/1.png", b"stays")
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    for name, reason in [("empty", "has no files"), ("none", "is not a folder"), ("file", "is not a folder")]:
        with pytest.raises(DataError, match=reason):
            mirror_folder(store, tmp_path / name, SOURCE)
    assert store.exists(f"{SOURCE}/1.png")
