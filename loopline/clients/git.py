"""The registry's git repository, where the exclusive decisions fall: of two pushes from the same state one loses.

The only module that knows git, and the form of GTO's tags. GTO itself is not imported: it sets up logging anew, in
which a process that runs a flow can wait for itself for ever. Clones are fresh, private and without a work tree, so
that nothing in the repository, such as a symlink, can steer a write.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from loopline.errors import AccessError, ConfigError, ConflictError, LooplineError, UnreachableError
from loopline.scratch import private_folder

if TYPE_CHECKING:
    from git import GitCommandError, Repo

T = TypeVar("T")

GIT_SECONDS = 300  # for one clone or push: a silent host would otherwise hold the step for ever
PUSH_ATTEMPTS = 20  # of each round of rivals one wins, so this many may publish at the same moment
OWN_SETTINGS = (
    "user.name=Loopline",
    "user.email=loopline@localhost",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "core.hooksPath=/dev/null",
    "core.autocrlf=false",
)
LOST = ("[rejected]", "lock ref", "transaction failed", "failed to update ref", "already exists")
SILENCE = ("could not resolve", "connection refused", "timed out", "connect to", "unreachable", "returned error: 5")


class Clone:
    """A private clone of the registry without a work tree."""

    def __init__(self, repo: "Repo") -> None:
        self._repo = repo
        self._refspecs: list[str] = []

    @property
    def revision(self) -> str:
        """The commit at the branch's head."""
        return self._repo.head.commit.hexsha

    def tags(self) -> dict[str, str]:
        """Return every tag with the commit it stands on."""
        return {tag.name: tag.commit.hexsha for tag in self._repo.tags}

    def read(self, path: str, revision: str = "HEAD") -> bytes | None:
        """Return a file's content at a revision, None where there is none."""
        if revision == "HEAD" and not self._repo.head.is_valid():
            return None
        try:
            content: bytes = self._repo.commit(revision).tree[path].data_stream.read()
        except KeyError:
            return None
        return content

    def commit(self, files: Mapping[str, bytes], message: str) -> None:
        """Commit files on top of the branch, leaving all others as they are."""
        if self._repo.head.is_valid():
            self._repo.git.read_tree("HEAD")
        for path, content in files.items():
            target = Path(self._repo.working_dir, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        self._repo.git.add("--force", "--ignore-removal", ".")  # GitPython's own `add` moves the whole process there
        self._repo.git.commit(message=message)
        self._refspecs.append(f"HEAD:{self._repo.head.reference.path}")

    def tag(self, name: str, message: str) -> None:
        """Put an annotated tag on the branch's head."""
        self._tag(name, "HEAD", message)

    def register(self, model: str, version: str) -> None:
        """Name the branch's head a version of a model."""
        self._tag(f"{model}@{version}", "HEAD", f"Registering artifact {model} version {version}")

    def assign(self, model: str, stage: str, *, version: str) -> None:
        """Give a stage to a version of a model."""
        words = f"Assigning stage {stage} to artifact {model} version {version}"
        self._tag(f"{model}#{stage}#{self._next(model)}", f"{model}@{version}", words)

    def unassign(self, model: str, stage: str, *, version: str) -> None:
        """Take a stage from a version of a model."""
        words = f"Unassigning stage {stage} from artifact {model} version {version}"
        self._tag(f"{model}#{stage}!#{self._next(model)}", f"{model}@{version}", words)

    def check_push(self) -> None:
        """Try whether a push would be let in, without one; AccessError if not."""
        from git import GitCommandError

        if not self._repo.head.is_valid():  # of an empty repository nothing can be pushed yet
            return
        try:
            self._repo.git.push(
                "--dry-run", "origin", "HEAD:refs/heads/loopline-doctor", kill_after_timeout=GIT_SECONDS
            )
        except GitCommandError as error:
            raise _trouble(error, self._repo.remote().url) from error

    def push(self) -> None:
        """Publish all that was committed and tagged, or nothing of it if someone else's push came first."""
        from git import GitCommandError

        try:
            self._repo.git.push("--atomic", "--porcelain", "origin", *self._refspecs, kill_after_timeout=GIT_SECONDS)
        except GitCommandError as error:
            if any(sign in error.stdout + error.stderr for sign in LOST):
                raise _LostRaceError from error
            raise _trouble(error, self._repo.remote().url) from error

    def _tag(self, name: str, revision: str, message: str) -> None:
        self._repo.create_tag(name, ref=self._repo.commit(revision), message=message)
        self._refspecs.append(f"refs/tags/{name}")

    def _next(self, model: str) -> int:
        """Return the number of a model's next assignment."""
        numbers = (re.fullmatch(rf"{re.escape(model)}#\w+!?#(\d+)", tag.name) for tag in self._repo.tags)
        return 1 + max((int(number[1]) for number in numbers if number), default=0)


class GitRegistry:
    """The git repository that all machines share: a path, where it is made on first use, or a URL."""

    def __init__(self, url: str, *, scratch: Path) -> None:
        if re.match(r"\w+://[^/@]*:[^/@]*@", url):  # it would show in every process list
            raise ConfigError("LOOPLINE_REGISTRY__URL holds a password; give that to git's credential helper instead")
        is_path = ":" not in url.split("/", maxsplit=1)[0]
        self._path = Path(url).expanduser().resolve() if is_path else None
        self._url = str(self._path or url)
        self._scratch = scratch

    @contextmanager
    def clone(self) -> Iterator[Clone]:
        """Yield a fresh clone; UnreachableError or AccessError if there is none to be had."""
        from git import Git, GitCommandError, Repo

        if self._path and not self._path.exists():
            _create(self._path)
        ssh = os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        environment = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": ssh}
        options = ["--no-checkout", *(f"--config={setting}" for setting in OWN_SETTINGS)]
        with private_folder(self._scratch) as folder:
            try:
                Git(folder).clone(*options, "--", self._url, "clone", env=environment, kill_after_timeout=GIT_SECONDS)
            except GitCommandError as error:
                raise _trouble(error, self._url) from error
            with Repo(folder / "clone") as repo:
                repo.git.update_environment(**environment)
                yield Clone(repo)

    def decide(self, step: Callable[[Clone], T]) -> T:
        """Run a step that ends in a push on a fresh clone, again for as long as someone else's push comes first."""
        for _ in range(PUSH_ATTEMPTS):
            with self.clone() as clone, suppress(_LostRaceError):
                return step(clone)
        raise ConflictError(f"the registry {self._url} changed during {PUSH_ATTEMPTS} attempts to publish; run again")


class _LostRaceError(Exception):
    """Someone else's push came first."""


def _create(path: Path) -> None:
    from git import Repo

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    Repo.init(draft, bare=True, initial_branch="main").close()
    try:
        draft.rename(path)
    except OSError:  # made by another process in the meantime
        shutil.rmtree(draft)


def _trouble(error: "GitCommandError", url: str) -> LooplineError:
    answer = f"{error.stderr}\n{error.stdout}"
    lines = [" ".join(line.replace("stderr: '", "").rstrip("'").split()) for line in answer.splitlines()]
    reason = next((line for line in lines if line.startswith(("fatal:", "ssh:", "remote:", "!"))), f"{error.status}")
    if any(sign in answer.lower() for sign in SILENCE):
        return UnreachableError(f"the registry {url} did not answer git ({reason}); check the network and try again")
    return AccessError(f"the registry {url} refused git ({reason}); check LOOPLINE_REGISTRY__URL and your rights there")
