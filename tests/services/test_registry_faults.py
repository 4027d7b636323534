"""The registry when bytes are altered, processes killed and servers silent: nothing half-done, one clear sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from registries import PROBLEM, Place, git, make_place, s3

from loopline.errors import AccessError, ConfigError, IntegrityError, UnreachableError
from loopline.registry import Registry
from loopline.settings import RegistrySettings, StoreSettings

TAMPERED = {
    "parent": lambda pointer: pointer.replace(b"path: manifest", b"path: ../../manifest"),
    "absolute": lambda pointer: pointer.replace(b"path: manifest", b"path: /tmp/manifest"),
    "work folder": lambda pointer: pointer + b"wdir: ../../..\n",
    "manifest of a folder": lambda pointer: pointer.replace(b"\n  size", b".dir\n  size"),
    "no digest": lambda pointer: pointer.replace(b"- md5: ", b"- md5: 0")[:-1],
}
COMMIT = """
import json, sys
from pathlib import Path
from loopline.contracts import DatasetVersion
from loopline.registry import Registry
from loopline.settings import RegistrySettings, StoreSettings
given = json.load(sys.stdin)
registry = Registry(RegistrySettings(url=given["url"]), StoreSettings(**given["store"]), home=Path(given["home"]))
files = {sha256: Path(path) for sha256, path in given["files"].items()}
registry.commit_dataset(DatasetVersion(**given["draft"]), files=files)
"""


@pytest.fixture
def place(s3_server: StoreSettings, tmp_path: Path) -> Place:
    return make_place(s3_server, tmp_path)


def test_file_changed_since_it_was_described_is_refused(place: Place) -> None:
    version, files = place.draft("one", "a")
    files[version.shards[0].sha256].write_text("b")
    with pytest.raises(IntegrityError, match="changed on this machine"):
        place.registry.commit_dataset(version, files=files)
    assert place.registry.datasets(PROBLEM) == []


@pytest.mark.parametrize("damage", [b"shArd", None], ids=["altered", "missing"])
def test_damaged_object_is_refused_and_nothing_placed(place: Place, tmp_path: Path, damage: bytes | None) -> None:
    shard = place.commit("manifest", "shard").shards[0]
    key = {"Bucket": place.store.bucket, "Key": f"{place.store.prefix}/{shard.uri}"}
    if damage:
        s3(place.store).put_object(**key, Body=damage)
    else:
        s3(place.store).delete_object(**key)
    with pytest.raises(IntegrityError, match=f"shards/{shard.sha256[:16]}.parquet is missing or altered"):
        place.registry.restore_dataset(PROBLEM, "v1", target=tmp_path / "out" / "back")
    assert not (tmp_path / "out").exists()
    assert place.leftovers == []


def test_pointer_that_leads_elsewhere_is_refused(place: Place, tmp_path: Path) -> None:
    version = place.commit("manifest", "shard")
    git("clone", str(place.git), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    pointer = clone / f"datasets/{PROBLEM}/manifest.parquet.dvc"
    original = pointer.read_bytes()
    for tamper in TAMPERED.values():
        pointer.write_bytes(tamper(original))
        git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-am", "tamper", cwd=clone)
        git("tag", "-f", version.name, cwd=clone)
        git("push", "--force", "origin", version.name, cwd=clone)
        with pytest.raises(IntegrityError, match=r"pointer manifest\.parquet\.dvc"):
            place.registry.restore_dataset(PROBLEM, "v1", target=tmp_path / "out" / "back")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("moment", ["pre-receive", "post-receive"])
def test_killed_around_the_push_and_run_again_is_one_version(place: Place, moment: str) -> None:
    place.hook(moment, 'rm hooks/$(basename "$0"); kill -9 $(cat pid); exit 1')
    version, files = place.draft("one", "a")
    given = {
        "url": str(place.git),
        "store": place.store.model_dump() | {"secret_key": "testsecret"},
        "home": str(place.home),
        "draft": version.model_dump(),
        "files": {sha256: str(path) for sha256, path in files.items()},
    }
    process = subprocess.Popen([sys.executable, "-c", COMMIT], stdin=subprocess.PIPE)
    (place.git / "pid").write_text(str(process.pid))
    process.communicate(json.dumps(given).encode(), timeout=60)
    assert process.returncode == -9
    assert len(place.leftovers) == 1, "the dead process's clone"
    assert place.registry.commit_dataset(version, files=files).name.endswith("/v1")
    assert len(place.registry.datasets(PROBLEM)) == 1
    assert place.leftovers == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"endpoint": "http://127.0.0.1:9"}, UnreachableError),
        ({"secret_key": SecretStr("wrong")}, AccessError),
        ({"bucket": "no-such-bucket"}, AccessError),
    ],
)
def test_store_in_trouble_is_told_apart(place: Place, change: dict[str, object], error: type[Exception]) -> None:
    troubled = Place(place.folder, place.store.model_copy(update=change))
    with pytest.raises(error, match=f"bucket {troubled.store.bucket} of the store {troubled.store.endpoint}"):
        troubled.commit("manifest", "shard")
    assert troubled.registry.datasets(PROBLEM) == []


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        ("http://127.0.0.1:9/registry.git", UnreachableError, "did not answer"),
        ("ssh://127.0.0.1:9/registry.git", UnreachableError, "did not answer"),
        ("file:///no/such/registry.git", AccessError, "does not (exist|appear)"),
        ("https://me:token@127.0.0.1/registry.git", ConfigError, "holds a password"),
    ],
)
def test_git_in_trouble_is_told_apart(place: Place, url: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        Registry(RegistrySettings(url=url), place.store, home=place.home).datasets(PROBLEM)
    assert "token" not in str(caught.value)


def test_push_that_the_host_declines_is_not_tried_again(place: Place) -> None:
    place.hook("pre-receive", "touch arrived.$$; exit 1")
    with pytest.raises(AccessError, match="hook declined"):
        place.commit("manifest", "shard")
    assert len(list(place.git.glob("arrived.*"))) == 1
