import re
import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import SecretStr

from loopline.clients.store import PART_BYTES, Store
from loopline.contracts import Artifact
from loopline.errors import AccessError, ConfigError, DataError, IntegrityError, UnreachableError
from loopline.settings import StoreSettings


@pytest.fixture
def settings(s3_server: StoreSettings) -> StoreSettings:
    return s3_server.model_copy(update={"bucket": f"store-{uuid.uuid4().hex[:8]}", "prefix": "team/loopline"})


@pytest.fixture
def store(settings: StoreSettings) -> Store:
    store = Store(settings)
    store.ensure_bucket()
    return store


@contextmanager
def cutting_proxy(target: StoreSettings, *, cuts: int, after_bytes: int) -> Iterator[StoreSettings]:
    """Stand between client and server and hang up in the middle of the first so many long answers."""
    host, port = str(target.endpoint).removeprefix("http://").split(":")
    left = [cuts]

    def carry(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as server:
            threading.Thread(target=pump, args=(client, server, None), daemon=True).start()
            pump(server, client, after_bytes)

    def pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        carried = 0
        with suppress(OSError):
            while data := source.recv(4096):
                carried += len(data)
                if limit and left[0] and carried > limit:
                    left[0] -= 1
                    source.shutdown(socket.SHUT_RDWR)
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                sink.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield target.model_copy(update={"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    assert left[0] == 0


def test_what_is_written_is_read(store: Store) -> None:
    store.write("a/é +%&.txt", b"hello")
    assert store.exists("a/é +%&.txt")
    assert store.read("a/é +%&.txt") == b"hello"
    store.delete("a/é +%&.txt")
    assert not store.exists("a/é +%&.txt")


def test_zero_bytes_are_read(store: Store) -> None:
    store.write("empty", b"")
    assert store.read("empty") == b""


def test_making_the_bucket_twice_is_harmless(settings: StoreSettings) -> None:
    for _ in range(2):
        Store(settings).ensure_bucket()
    assert not Store(settings).exists("anything")


def test_keys_are_below_the_prefix(settings: StoreSettings, store: Store) -> None:
    store.write("x/1", b"1")
    assert store.url("x/1") == f"s3://{settings.bucket}/team/loopline/x/1"
    whole_bucket = Store(settings.model_copy(update={"prefix": ""}))
    assert [entry.key for entry in whole_bucket.list("")] == ["team/loopline/x/1"]


def test_listing_has_every_page_in_byte_order(store: Store) -> None:
    keys = {f"many/{number % 37}/{number}" for number in range(1_050)}
    keys |= {"many/a-b", "many/a/b", "many/aa", "many/é", "many/\U0001f600"}
    store.upload_all(dict.fromkeys(keys, b"12"))
    listed = list(store.list("many/"))
    assert [entry.key for entry in listed] == sorted(keys)
    assert {(entry.etag, entry.size_bytes) for entry in listed} == {("c20ad4d76fe97759aa27a0c99bff6710", 2)}


def test_artifact_is_named_by_content(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"some bytes")
    expected = Artifact(sha256=sha256(b"some bytes").hexdigest(), size_bytes=10, uri="shards/1")
    assert store.put(path, "shards/1") == expected
    assert store.put(b"some bytes", "shards/1") == expected
    assert store.read_artifact(expected) == b"some bytes"
    assert store.fetch(expected, tmp_path / "deep" / "target").read_bytes() == b"some bytes"


def test_body_in_parts_comes_back_whole(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(range(256)) * (PART_BYTES // 256) + b"and more")
    artifact = store.put(path, "big")
    assert artifact.size_bytes == PART_BYTES + 8
    assert store.fetch(artifact, tmp_path / "again").read_bytes() == path.read_bytes()


def test_published_bytes_are_never_overwritten(store: Store) -> None:
    artifact = store.publish(b"first", "blobs", suffix=".bin")
    assert artifact.uri == f"blobs/{sha256(b'first').hexdigest()}.bin"
    store.write(artifact.uri, b"other")
    assert store.publish(b"first", "blobs", suffix=".bin") == artifact
    assert store.read(artifact.uri) == b"other"


def test_altered_object_never_reaches_its_path(store: Store, tmp_path: Path) -> None:
    artifact = store.put(b"the right bytes", "thing")
    path = store.fetch(artifact, tmp_path / "thing")
    store.write("thing", b"the wrong bytes")
    with pytest.raises(IntegrityError, match="thing"):
        store.fetch(artifact, path)
    with pytest.raises(IntegrityError, match="thing"):
        store.read_artifact(artifact)
    with pytest.raises(IntegrityError):
        store.fetch_all({tmp_path / "new": artifact})
    assert [entry.name for entry in tmp_path.iterdir()] == ["thing"]
    assert path.read_bytes() == b"the right bytes"


def test_body_cut_short_is_read_again(settings: StoreSettings, store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 1_000
    artifact = store.put(data, "cut")
    with cutting_proxy(settings, cuts=1, after_bytes=100_000) as faulty:
        assert Store(faulty).read("cut") == data
    with cutting_proxy(settings, cuts=1, after_bytes=100_000) as faulty:
        assert Store(faulty).fetch(artifact, tmp_path / "cut").read_bytes() == data


def test_body_always_cut_short_leaves_nothing_behind(settings: StoreSettings, store: Store, tmp_path: Path) -> None:
    artifact = store.put(bytes(200_000), "cut")
    with cutting_proxy(settings, cuts=2, after_bytes=100_000) as faulty, pytest.raises(UnreachableError):
        Store(faulty).fetch(artifact, tmp_path / "cut")
    assert list(tmp_path.iterdir()) == []


def test_many_files_go_and_come_back_in_order(store: Store, tmp_path: Path) -> None:
    sources = {f"batch/{number}": f"content {number}".encode() for number in range(40)}
    artifacts = store.upload_all(sources)
    assert [artifact.uri for artifact in artifacts] == list(sources)
    store.fetch_all({tmp_path / artifact.uri: artifact for artifact in artifacts})
    assert {key: (tmp_path / key).read_bytes() for key in sources} == sources


def test_one_store_serves_many_threads(store: Store) -> None:
    def round_trip(number: int) -> bool:
        data = f"content {number % 5}".encode()
        return store.read_artifact(store.publish(data, "blobs")) == data

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(round_trip, range(200)))


@pytest.mark.parametrize(
    "use",
    [
        lambda store, path: store.read("no/such"),
        lambda store, path: store.download("no/such", path / "target"),
        lambda store, path: store.fetch(Artifact(sha256="0" * 64, size_bytes=1, uri="no/such"), path / "target"),
    ],
)
def test_missing_key_is_named(store: Store, tmp_path: Path, use: Callable[[Store, Path], object]) -> None:
    with pytest.raises(DataError, match=re.escape(store.url("no/such"))):
        use(store, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_bucket_is_named(settings: StoreSettings) -> None:
    store = Store(settings)
    for use in (lambda: store.write("a", b""), lambda: store.read("a"), lambda: list(store.list(""))):
        with pytest.raises(AccessError, match=settings.bucket):
            use()


@pytest.mark.parametrize("change", [{"access_key": "stranger"}, {"secret_key": SecretStr("hunter2-secret")}])
def test_wrong_credentials_name_what_to_check_and_no_secret(settings: StoreSettings, change: dict[str, object]) -> None:
    store = Store(settings.model_copy(update=change))
    for use in (store.ensure_bucket, lambda: store.exists("a"), lambda: store.read("a"), lambda: list(store.list(""))):
        with pytest.raises(AccessError, match="LOOPLINE_STORE__SECRET_KEY") as caught:
            use()
        assert settings.bucket in str(caught.value)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in repr(store)


def test_no_credentials_say_what_to_set(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(AccessError, match="LOOPLINE_STORE__ACCESS_KEY"):
        Store(settings.model_copy(update={"access_key": None, "secret_key": None})).read("a")


def test_nothing_listening_is_unreachable(settings: StoreSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UnreachableError, match=address):
        Store(settings.model_copy(update={"endpoint": address})).read("a")


def test_endpoint_without_scheme_is_a_setting_to_mend(settings: StoreSettings) -> None:
    with pytest.raises(ConfigError, match="LOOPLINE_STORE__"):
        Store(settings.model_copy(update={"endpoint": "localhost:9000"}))
