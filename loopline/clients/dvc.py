"""The registry's DVC remote in the store, which carries the bytes behind the pointers in git.

The only module that knows DVC. Each operation has a private workspace that holds nothing but pointers which we wrote
or checked, so nothing in the remote or in git (a `../`, a `wdir`, a .dir manifest) can steer a write; addresses and
keys are handed over in memory and stand in no file.
"""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loopline.contracts import Artifact
from loopline.errors import AccessError, ConfigError, IntegrityError, LooplineError, UnreachableError
from loopline.scratch import private_folder
from loopline.settings import StoreSettings

if TYPE_CHECKING:
    from dvc.repo import Repo

REMOTE = "dvc"  # below the store's root
SKELETON = {
    ".dvc/config": b"[core]\n    analytics = false\n",
    ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",
    ".gitignore": b"*.parquet\n*.zip\n",
}  # what makes the git repository one that DVC's own commands work in


def artifact(path: Path) -> Artifact:
    """Describe a file as the DVC remote keeps it; the URI is relative to the store's root."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    return Artifact(
        sha256=sha256.hexdigest(), size_bytes=path.stat().st_size, uri=f"{REMOTE}/{_object(md5.hexdigest())}"
    )


@dataclass(frozen=True)
class Tracked:
    """A file under DVC: where it belongs, its pointer in git, and the bytes it must have."""

    path: str
    pointer: bytes
    artifact: Artifact


class DvcRemote:
    """The DVC remote in the store."""

    def __init__(self, store: StoreSettings, *, scratch: Path) -> None:
        self._store = store
        self._scratch = scratch

    def upload(self, files: Mapping[str, Path]) -> dict[str, bytes]:
        """Put files under DVC at the given paths and push them; return the pointers to commit, by path."""
        with self._workspace() as repo:
            root = Path(repo.root_dir)
            for path, source in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, root / path)
            repo.add([str(root / path) for path in files])
            with self._reachable(repo):
                repo.push()
            return {f"{path}.dvc": (root / f"{path}.dvc").read_bytes() for path in files}

    def download(self, files: Sequence[Tracked], target: Path) -> None:
        """Place files in a folder that is missing or empty, all or none.

        Every object is hashed before DVC may check it out, and again where it ends: IntegrityError names the file.
        """
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError(f"{target} is not an empty folder; name a new one")
        md5s = {file.path: _checked_md5(file) for file in files}
        with self._workspace() as repo:
            root = Path(repo.root_dir)
            for file in files:
                (root / file.path).parent.mkdir(parents=True, exist_ok=True)
                (root / f"{file.path}.dvc").write_bytes(file.pointer)
            with self._reachable(repo):
                repo.fetch()
            for file in files:
                _verify(Path(repo.cache.local.oid_to_path(md5s[file.path])), file)
            repo.checkout()
            _place(root, files, target=target)

    @contextmanager
    def _workspace(self) -> Iterator["Repo"]:
        from dvc.repo import Repo

        _silence()
        with private_folder(self._scratch) as folder:
            (folder / "files" / ".dvc").mkdir(parents=True)
            core = {"no_scm": True, "analytics": False, "remote": "store", "site_cache_dir": str(folder / "site")}
            cache = {"dir": str(folder / "cache"), "type": "hardlink"}
            config = {"core": core, "cache": cache, "remote": {"store": self._remote()}}
            with Repo(str(folder / "files"), config=config) as repo:
                yield repo

    def _remote(self) -> dict[str, str | bool]:
        store = self._store
        root = "/".join(part for part in (store.bucket, store.prefix, REMOTE) if part)
        remote: dict[str, str | bool] = {"url": f"s3://{root}", "region": store.region, "verify": True}
        if store.endpoint != "aws":
            remote["endpointurl"] = store.endpoint
        if store.access_key and store.secret_key:
            remote["access_key_id"] = store.access_key
            remote["secret_access_key"] = store.secret_key.get_secret_value()
        return remote

    @contextmanager
    def _reachable(self, repo: "Repo") -> Iterator[None]:
        """Look at the remote before a transfer: DVC counts the failures of a transfer and hides the reasons."""
        from botocore.exceptions import BotoCoreError
        from dvc.exceptions import FileTransferError

        try:
            remote = repo.cloud.get_remote("store")
            try:
                remote.fs.info(remote.path)
            except FileNotFoundError as error:
                if error.__cause__:  # without a cause the bucket is there, and merely empty
                    raise
            yield
        except (BotoCoreError, FileTransferError, OSError) as error:
            trouble = _trouble(error, self._store)
            if not trouble:
                raise
            raise trouble from error


def _silence() -> None:
    """Keep DVC's log lines, progress bars and spinner off the terminal; its failures are raised as well."""
    from dvc.ui import ui

    ui.error_console.quiet = True
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid")

    md5: str = Field(pattern=r"^[0-9a-f]{32}$")
    size: int
    hash: Literal["md5"]
    path: str


class _Pointer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outs: tuple[_Output]


def _checked_md5(file: Tracked) -> str:
    try:
        (output,) = _Pointer.model_validate(yaml.safe_load(file.pointer)).outs
    except (ValidationError, yaml.YAMLError) as error:
        raise IntegrityError(f"the registry's pointer {file.path}.dvc is not one that Loopline wrote") from error
    if output.path != PurePosixPath(file.path).name:
        raise IntegrityError(f"the registry's pointer {file.path}.dvc names {output.path!r} instead of its own file")
    return output.md5


def _object(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _verify(path: Path, file: Tracked) -> None:
    if not path.exists() or artifact(path).sha256 != file.artifact.sha256:
        raise IntegrityError(
            f"{file.path} is missing or altered in the store ({file.artifact.uri}); restore that object from a backup"
        )


def _place(root: Path, files: Sequence[Tracked], *, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        draft = Path(folder, target.name)
        for file in files:
            (draft / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file.path, draft / file.path)
            _verify(draft / file.path, file)
        draft.rename(target)


def _trouble(error: Exception, store: StoreSettings) -> LooplineError | None:
    from botocore import exceptions as boto
    from dvc.exceptions import FileTransferError

    place = f"bucket {store.bucket} of the store {store.endpoint}"
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | FileTransferError):
        return UnreachableError(f"{place} did not answer DVC ({error}); check the network and try again")
    if isinstance(error, boto.BotoCoreError):
        return AccessError(f"{place} can't be asked ({error}); check the LOOPLINE_STORE__ settings")
    if not isinstance(error.__cause__, boto.ClientError):
        return None
    status = error.__cause__.response["ResponseMetadata"]["HTTPStatusCode"]
    if status >= 500:
        return UnreachableError(f"{place} answered DVC with status {status}; try again later")
    return AccessError(f"{place} refused DVC with status {status} ({error}); check the LOOPLINE_STORE__ settings")
