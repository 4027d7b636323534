"""The registry on a real git repository and a real S3 server: versions never change and are never given twice."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gto
import pytest
from registries import MEET, PROBLEM, Place, git, make_place, s3

from loopline import contracts as c
from loopline.clients.git import Clone, GitRegistry
from loopline.errors import ConfigError, ConflictError, DataError
from loopline.settings import StoreSettings


@pytest.fixture
def place(s3_server: StoreSettings, tmp_path: Path) -> Place:
    return make_place(s3_server, tmp_path)


def test_fresh_registry_is_empty(place: Place) -> None:
    assert place.registry.datasets(PROBLEM) == []
    assert place.registry.models(PROBLEM) == []
    assert place.registry.champion(PROBLEM) is None


def test_artifact_names_where_the_bytes_lie_in_the_store(place: Place) -> None:
    version = place.commit("manifest", "shard")
    for artifact, content in ((version.manifest, b"manifest"), (version.shards[0], b"shard")):
        found = s3(place.store).get_object(Bucket=place.store.bucket, Key=f"{place.store.prefix}/{artifact.uri}")
        assert found["Body"].read() == content


def test_same_content_twice_is_one_version(place: Place) -> None:
    first = place.commit("one", "a")
    assert (first.name, len(first.git_revision)) == (f"dataset/{PROBLEM}/v1", 40)
    assert place.commit("two", "a").name == f"dataset/{PROBLEM}/v2"
    assert place.commit("one", "a") == first
    assert [version.name[-2:] for version in place.registry.datasets(PROBLEM)] == ["v1", "v2"]


def test_rivals_get_different_numbers(place: Place) -> None:
    place.hook("pre-receive", MEET)
    with ThreadPoolExecutor(2) as pool:
        versions = list(pool.map(place.commit, ("one", "two"), ("one", "two")))
    assert {version.name[-2:] for version in versions} == {"v1", "v2"}
    assert {version.digest for version in place.registry.datasets(PROBLEM)} == {version.digest for version in versions}
    assert len(list(place.git.glob("met.*"))) == 3, "the loser pushes once more"


def test_push_before_ours_starts_the_step_again(place: Place) -> None:
    repository = GitRegistry(str(place.git), scratch=place.home)
    seen: list[int] = []

    def publish(clone: Clone, name: str) -> int:
        clone.commit({name: b"content"}, name)
        clone.tag(f"v{len(clone.tags()) + 1}", name)
        clone.push()
        return len(clone.tags())

    def step(clone: Clone) -> int:
        seen.append(len(clone.tags()))
        if len(seen) == 1:
            repository.decide(lambda rival: publish(rival, "rival"))
        return publish(clone, "ours")

    assert repository.decide(step) == 2
    assert seen == [0, 1]


def test_old_version_comes_back_bit_for_bit(place: Place, tmp_path: Path) -> None:
    first = place.commit("one", "a")
    place.commit("two", "a", "b")
    place.commit("three", "b", "c")
    back = tmp_path / "new" / "back"
    assert place.registry.restore_dataset(PROBLEM, "v1", target=back) == first
    files = {str(path.relative_to(back)): path.read_text() for path in back.rglob("*") if path.is_file()}
    assert files == {"manifest.parquet": "one", f"shards/{first.shards[0].sha256[:16]}.parquet": "a"}
    with pytest.raises(ConfigError, match="not an empty folder"):
        place.registry.restore_dataset(PROBLEM, "2", target=back)
    with pytest.raises(ConfigError, match=r"there is no dataset/handwriting/v4; choose one of: .*v1, .*v2, .*v3"):
        place.registry.restore_dataset(PROBLEM, "v4", target=tmp_path / "other")


def test_known_shards_need_not_be_given_again(place: Place, tmp_path: Path) -> None:
    place.commit("one", "a")
    second, files = place.draft("two", "a", "b")
    manifest, (known, new) = second.manifest.sha256, (shard.sha256 for shard in second.shards)
    for lacking, given in ((f"shards/{new[:16]}", [manifest]), ("manifest", [new])):
        with pytest.raises(DataError, match=f"{lacking}.parquet is neither"):
            place.registry.commit_dataset(second, files={key: files[key] for key in given})
    committed = place.registry.commit_dataset(second, files={manifest: files[manifest], new: files[new]})
    place.registry.restore_dataset(PROBLEM, committed.name, target=tmp_path / "back")
    assert (tmp_path / f"back/shards/{known[:16]}.parquet").read_text() == "a"


def test_git_holds_no_key_and_no_address(place: Place) -> None:
    place.commit("manifest", "shard")
    held = git("cat-file", "--batch-all-objects", "--batch", cwd=place.git) + (place.git / "config").read_bytes()
    assert b"manifest.parquet" in held
    for secret in ("testkey", "testsecret", place.store.endpoint, place.store.bucket, place.store.prefix):
        assert secret.encode() not in held
    assert place.leftovers == []


def test_renamed_bucket_changes_nothing(place: Place, tmp_path: Path) -> None:
    first = place.commit("manifest", "shard")
    moved = place.store.model_copy(update={"bucket": f"{place.store.bucket}-moved", "prefix": ""})
    client = s3(moved)
    client.create_bucket(Bucket=moved.bucket)
    for found in client.list_objects_v2(Bucket=place.store.bucket)["Contents"]:
        source = {"Bucket": place.store.bucket, "Key": found["Key"]}
        key = found["Key"].removeprefix(f"{place.store.prefix}/")
        client.put_object(Bucket=moved.bucket, Key=key, Body=client.get_object(**source)["Body"].read())
        client.delete_object(**source)
    again = Place(place.folder, moved)
    assert again.commit("manifest", "shard") == first
    again.registry.restore_dataset(PROBLEM, "1", target=tmp_path / "back")
    assert (tmp_path / "back/manifest.parquet").read_text() == "manifest"


def test_dvc_alone_can_read_the_registry(place: Place, tmp_path: Path) -> None:
    version = place.commit("manifest", "shard")
    git("clone", "--branch", version.name, str(place.git), "plain", cwd=tmp_path)
    config = f"[core]\nremote = s\n['remote \"s\"']\nurl = s3://{place.store.bucket}/{place.store.prefix}/dvc\n"
    (tmp_path / "plain/.dvc/config.local").write_text(f"{config}endpointurl = {place.store.endpoint}\n")
    own = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}
    own |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    command = [sys.executable, "-m", "dvc", "--cd", str(tmp_path / "plain"), "pull"]
    subprocess.run(command, env=os.environ | own, check=True, capture_output=True)
    assert (tmp_path / f"plain/datasets/{PROBLEM}/manifest.parquet").read_text() == "manifest"
    assert git("status", "--porcelain", cwd=tmp_path / "plain") == b""


def test_same_package_twice_is_one_model_unless_its_verdict_changed(place: Place) -> None:
    first = place.commit_model("one")
    second = place.commit_model("two", ready=False)
    assert (first.version, second.version, type(second)) == ("v1.0.0", "v2.0.0", c.HeldBack)
    assert place.commit_model("one") == first
    assert place.commit_model("two", ready=False) == second
    assert place.commit_model("two", met="v1.0.0").version == "v3.0.0"
    assert [model.judged.version for model in place.registry.models(PROBLEM)] == ["v1.0.0", "v2.0.0", "v3.0.0"]


def test_ready_models_become_champion_one_after_the_other_and_gto_agrees(place: Place) -> None:
    place.commit_model("one")
    place.commit_model("two", ready=False)
    third = place.commit_model("three", met="v1.0.0")
    assert [model.stages for model in place.registry.models(PROBLEM)] == [("previous",), (), ("champion",)]
    champion = place.registry.champion(PROBLEM)
    assert champion and champion.judged == third
    assigned = [event["ref"] for event in gto.api.history(str(place.git), PROBLEM) if event["event"] == "assignment"]
    stages = ("champion#1", "champion#2", "previous#3")
    assert sorted(assigned) == sorted(f"{PROBLEM}#{stage}" for stage in stages)


def test_a_model_judged_beside_an_older_champion_gets_no_version(place: Place) -> None:
    place.commit_model("one")
    with pytest.raises(ConflictError, match=r"is v1\.0\.0 by now, .* beside none; run again"):
        place.commit_model("two")
    assert len(place.registry.models(PROBLEM)) == 1


def test_of_two_models_promoted_at_once_one_wins(place: Place) -> None:
    place.hook("pre-receive", MEET)

    def promote(content: str) -> str | None:
        try:
            return str(place.commit_model(content).version)
        except ConflictError:
            return None

    with ThreadPoolExecutor(2) as pool:
        winners = [version for version in pool.map(promote, ("one", "two")) if version]
    champion = place.registry.champion(PROBLEM)
    assert champion and winners == [champion.judged.version] == ["v1.0.0"]
