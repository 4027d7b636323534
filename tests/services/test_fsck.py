"""What a look at a real store and registry finds: what is gone, what was altered, and who needs it."""

import subprocess
from pathlib import Path

import pytest
from benches import Bench, make_bench
from laptop_processes import LOOPLINE
from registries import PROBLEM

from loopline.errors import IntegrityError
from loopline.fsck import Checked, Mode, check, raise_faults
from loopline.manifest import read_manifest
from loopline.settings import StoreSettings

DATASET = f"dataset/{PROBLEM}/v1"


@pytest.fixture
def bench(s3_server: StoreSettings, tmp_path: Path) -> Bench:
    made = make_bench(s3_server, tmp_path)
    made.place.commit_model("a package", dataset=made.dataset)
    return made


def looked(bench: Bench, mode: Mode) -> Checked:
    registry = bench.place.registry
    return check(bench.store, PROBLEM, datasets=registry.datasets(PROBLEM), models=registry.models(PROBLEM), mode=mode)


def faults(bench: Bench, mode: Mode) -> dict[str, tuple[str, str]]:
    return {one.key: (one.needed_by, one.what.partition(" (")[0]) for one in looked(bench, mode).faults}


@pytest.mark.parametrize("mode", ["quick", "full"])
def test_where_nothing_happened_all_is_well(bench: Bench, mode: Mode) -> None:
    found = looked(bench, mode)
    raise_faults(found)
    assert found.object_count > 64, "every image, and the files of the versions"
    assert (found.missing_count, found.altered_count, found.unnamed_count) == (0, 0, 0)


def test_what_is_gone_is_named_with_who_needs_it(bench: Bench) -> None:
    image = read_manifest(bench.store, bench.dataset.manifest)["image_sha256"][0].as_py()
    shard = bench.dataset.shards[0].uri
    bench.store.delete(f"blobs/{image}")
    bench.store.delete(shard)
    for mode in ("quick", "full"):
        assert faults(bench, mode) == {
            f"blobs/{image}": (DATASET, "missing"),
            shard: (f"{PROBLEM} v1.0.0", "missing"),
        }, "a model needs what its dataset is made of"
    with pytest.raises(IntegrityError, match=r"2 objects are not what the registry says, such as .*; bring them back"):
        raise_faults(looked(bench, "quick"))


def test_a_flipped_byte_is_found_by_hashing_and_a_cut_object_by_its_size(bench: Bench) -> None:
    shard = bench.dataset.shards[0].uri
    whole = bytearray(bench.store.read(shard))
    whole[len(whole) // 2] ^= 1
    bench.store.write(shard, bytes(whole))
    assert faults(bench, "quick") == {}
    assert [what for _, what in faults(bench, "full").values()] == ["altered"]
    bench.store.write(shard, bytes(whole[:-1]))
    assert [what for _, what in faults(bench, "quick").values()] == ["altered"]


def test_a_manifest_that_was_altered_hides_no_other_fault(bench: Bench) -> None:
    bench.store.write(bench.dataset.manifest.uri, b"no manifest")
    bench.store.delete(bench.dataset.shards[0].uri)
    assert {what for _, what in faults(bench, "full").values()} == {"altered", "missing"}


def test_what_no_version_names_is_counted(bench: Bench) -> None:
    bench.store.write("dvc/files/md5/00/left-behind", b"of a run that was killed")
    assert looked(bench, "quick").unnamed_count == 1


def test_the_command_fails_with_one_sentence(bench: Bench) -> None:
    environment = bench.place.environment
    well = subprocess.run([LOOPLINE, "fsck", "--full"], env=environment, capture_output=True, text=True)
    assert (well.returncode, well.stderr) == (0, "") and "0 missing, 0 altered" in well.stdout
    bench.store.delete(bench.dataset.shards[0].uri)
    done = subprocess.run([LOOPLINE, "fsck"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "1 missing, 0 altered" in done.stdout
    assert done.stderr.count("\n") == 1 and "bring them back from a copy of the bucket" in done.stderr
