"""What nobody needs goes, and what a version needs stays whole, on a real store with a real registry."""

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from benches import Bench, make_bench
from laptop_processes import LOOPLINE
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from registries import PROBLEM, make_place, s3

from loopline.clients.store import Store
from loopline.errors import ConfigError
from loopline.fsck import check, raise_faults
from loopline.gc import Garbage, delete_garbage, end_leftovers, find_garbage
from loopline.settings import StoreSettings

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(days=1)
JUNK = ("manifests/0.parquet", "packages/0.zip", "reports/0.html", "runs/0/last.ckpt")


@pytest.fixture
def bench(s3_server: StoreSettings, tmp_path: Path) -> Bench:
    made = make_bench(s3_server, tmp_path)
    made.place.commit_model("a package", dataset=made.dataset)
    for key in JUNK:
        made.store.write(key, b"junk")
    return made


@pytest.fixture
def moto() -> Iterator[Store]:
    """A server that has uploads in parts as AWS has them."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    settings = StoreSettings(
        endpoint=f"http://{host}:{port}", bucket="parts", prefix="ours", access_key="k", secret_key=SecretStr("s")
    )
    store = Store(settings)
    store.ensure_bucket()
    yield store
    server.stop()


def garbage(bench: Bench, before: datetime) -> Garbage:
    return find_garbage(bench.store, bench.place.registry.versions(), before=before)


def keys(found: Garbage) -> set[str]:
    return {one.key for one in found.objects}


def test_junk_is_found_and_after_its_end_every_version_is_whole(bench: Bench) -> None:
    registered = [one.key for one in bench.store.list("dvc/")]
    bench.store.write("dvc/files/md5/00/a-package-that-git-alone-names", b"package")
    found = garbage(bench, LATER)
    assert keys(found) >= set(JUNK)
    delete_garbage(bench.store, found)
    assert not any(bench.store.exists(key) for key in JUNK)
    assert len(list(bench.store.list("dvc/"))) == len(registered) + 1
    registry = bench.place.registry
    for mode in ("quick", "full"):
        datasets, models = registry.datasets(PROBLEM), registry.models(PROBLEM)
        raise_faults(check(bench.store, PROBLEM, datasets=datasets, models=models, mode=mode))
    registry.restore_dataset(PROBLEM, "v1", target=bench.place.folder / "restored")
    assert garbage(bench, LATER) == Garbage((), ())


def test_what_is_young_stays(bench: Bench) -> None:
    assert garbage(bench, EARLIER) == Garbage((), ())


def test_a_cached_result_protects_what_it_names_while_it_is_young_and_goes_with_it_afterwards(bench: Bench) -> None:
    time.sleep(1.1)  # the server's clock counts seconds
    now = datetime.now(UTC)
    bench.store.write("results/train-1", b'{"result": "{\\"uri\\": \\"packages/0.zip\\"}"}')
    kept = bench.dataset.manifest.uri
    bench.store.write("results/version-1", f'{{"result": "{{\\"uri\\": \\"{kept}\\"}}"}}'.encode())
    assert "packages/0.zip" not in keys(garbage(bench, now))
    found = garbage(bench, LATER)
    assert "packages/0.zip" in keys(found) and found.results == ("results/train-1",)


def test_an_empty_registry_ends_it(bench: Bench, s3_server: StoreSettings, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    empty = make_place(s3_server, tmp_path / "other").registry
    with pytest.raises(ConfigError, match="LOOPLINE_REGISTRY__URL"):
        find_garbage(bench.store, empty.versions(), before=LATER)


def test_what_killed_processes_left_is_ended(moto: Store, bench: Bench) -> None:
    settings = moto._settings
    client = boto3.client(
        "s3", endpoint_url=settings.endpoint, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    for key in ("ours/dvc/half", "theirs/half"):
        client.create_multipart_upload(Bucket="parts", Key=key)  # in 2010, moto says of each
    moto.write("tmp/left", b"left")
    assert end_leftovers(moto, before=EARLIER) == 1 and moto.exists("tmp/left")
    assert [one["Key"] for one in client.list_multipart_uploads(Bucket="parts")["Uploads"]] == ["theirs/half"]
    assert end_leftovers(moto, before=LATER) == 1 and not moto.exists("tmp/left")
    assert end_leftovers(bench.store, before=LATER) == 0, "nor does the laptop's server mind"


def test_the_command_tells_first_and_deletes_when_asked_to(bench: Bench) -> None:
    old = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    place, key = bench.place.store, JUNK[1]
    s3(place).put_object(
        Bucket=place.bucket, Key=f"{place.prefix}/{key}", Body=b"junk", Metadata={"mtime": str(old)}
    )  # rclone takes it for the time of writing
    for arguments, left in ((["gc"], True), (["gc", "--days", "60", "--delete"], True), (["gc", "--delete"], False)):
        done = subprocess.run([LOOPLINE, *arguments], env=bench.place.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (key in done.stdout) == ("60" not in arguments)
        assert bench.store.exists(key) is left
    assert all(bench.store.exists(other) for other in JUNK if other != key), "younger than 30 days"
