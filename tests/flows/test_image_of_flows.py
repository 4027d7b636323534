"""An image of flows without an engine: the steps of its Dockerfile in a folder, and a pool's run in what they made.

A torch that is at hand is taken, as by .ci/install. Files are linked from uv's cache and compiled when they are needed.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import dockerfiles
import pytest
from laptops import Laptop
from test_deployment import ORDER

from loopline.image import write_flows
from loopline.local import prefect_environment
from loopline.pins import COMPONENT, LAPTOP_ONLY
from loopline.settings import Settings

pytestmark = pytest.mark.elsewhere

ROOT = Path(__file__).parents[2]
SLOW = ("--compile-bytecode", "--torch-backend cpu ")  # left out here: minutes of compiling; another index of torch


@dataclass(frozen=True)
class Container:
    """What an image holds, below a folder instead of /."""

    root: Path
    lines: list[str]

    def here(self, text: str) -> str:
        """Return a text of the Dockerfile with the image's folders as they are here."""
        return re.sub(r"(?<![\w/])/(?=(opt/venv|srv|data|tmp)\b)", f"{self.root}/", text)

    @property
    def environment(self) -> dict[str, str]:
        found = {name: self.here(value) for name, value in dockerfiles.environment(self.lines).items()}
        del found["PYTHONDONTWRITEBYTECODE"]  # as nothing is compiled beforehand
        return found | {"PYTHONPYCACHEPREFIX": str(self.root / "compiled")}

    def build(self, context: Path) -> None:
        """Do what COPY says, and the part of RUN that installs."""
        for folder in ("srv", "data", "tmp"):
            (self.root / folder).mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.root / "opt/venv"], check=True)
        for line in self.lines:
            instruction, _, rest = line.partition(" ")
            if instruction == "COPY":
                self._copy(*rest.split(), context=context)
            elif instruction == "RUN":
                for command in re.findall(r"uv (pip install [^&]+)", rest):
                    self.uv(*shlex.split(re.sub("|".join(SLOW), "", self.here(command))))

    def _copy(self, source: str, target: str, *, context: Path) -> None:
        place = Path(self.here(target))
        if (context / source).is_dir():
            shutil.copytree(context / source, place)
        else:
            text = (context / source).read_text()
            place.write_text(re.sub(r"^torch==.*$", f"torch=={version('torch')}", text, flags=re.MULTILINE))

    def uv(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run uv, which is told where packages come from here."""
        command = [ROOT / ".ci" / "uv", sys.prefix, *arguments, "--python", self.root / "opt/venv"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0 or arguments[1] == "check", done.stderr
        return done

    def run(self, *command: str, **settings: str) -> str:
        """Run a command as in the image: in its folder, with its environment and these settings, and no others."""
        program = self.root / "opt/venv/bin" / command[0]
        folder = self.here(dockerfiles.arguments(self.lines, "WORKDIR")[-1])
        environment = self.environment | settings
        done = subprocess.run([program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def times(self) -> dict[Path, int]:
        """Return when each file was written that no run may write."""
        found = (path for part in ("srv", "opt") for path in (self.root / part).rglob("*"))
        return {path: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("flows")
    write_flows(folder / "context", "cpu")
    found = Container(folder / "root", dockerfiles.instructions(folder / "context", "cpu"))
    found.build(folder / "context")
    shutil.rmtree(folder / "context")
    yield found
    shutil.rmtree(folder)


def settings_of(laptop: Laptop) -> dict[str, str]:
    """Return where things are, as a pool tells a container that knows nothing of the laptop."""
    settings = Settings(home=laptop.home, _env_file=None)
    store = settings.resolved_store()
    prefect = prefect_environment(settings)
    assert store.access_key and store.secret_key
    return {
        "LOOPLINE_STORE__ENDPOINT": store.endpoint,
        "LOOPLINE_STORE__ACCESS_KEY": store.access_key,
        "LOOPLINE_STORE__SECRET_KEY": store.secret_key.get_secret_value(),
        "LOOPLINE_PREFECT__API_URL": prefect["PREFECT_API_URL"],
        "LOOPLINE_PREFECT__AUTH_STRING": prefect["PREFECT_API_AUTH_STRING"],
        **{name: prefect[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")},
        "LOOPLINE_TRAIN__THREADS": "1",  # other tests run beside
        **laptop.settings,
    }


def test_nothing_is_missing_but_what_only_a_laptop_starts(container: Container) -> None:
    found = container.uv("pip", "check").stderr.splitlines()
    said = "\n".join(line for line in found if not re.match(rf"The package `({'|'.join(COMPONENT)})`", line))
    missing = re.findall(r"requires `([\w-]+)[^`]*`, but it's not installed", said)
    assert set(missing) == LAPTOP_ONLY
    assert said.count("The package `") == len(LAPTOP_ONLY), said


def test_a_pools_run_completes_in_it_and_writes_to_no_place_that_may_be_read_only(
    container: Container, elsewhere: Laptop, lines: Path, tmp_path: Path
) -> None:
    before = container.times()
    assert "image" in container.run("loopline", "--help")
    apart = elsewhere.apart(tmp_path, bucket="imaged")
    shutil.copytree(lines, elsewhere.home / "store" / "imaged" / str(ORDER["source"]))
    told = settings_of(apart)
    assert "build-model/build-model" in container.run("loopline", "deploy", **told)
    with elsewhere.api() as api:
        deployment = api.get("/deployments/name/build-model/build-model").raise_for_status().json()["id"]
        asked = api.post(f"/deployments/{deployment}/create_flow_run", json={"parameters": {"order": ORDER}})
        run = asked.raise_for_status().json()["id"]
        container.run("prefect", "flow-run", "execute", run, **told)
        state = api.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
    assert state["type"] == "COMPLETED", state["message"]
    tags = subprocess.check_output(["git", "tag"], cwd=tmp_path / "registry.git", text=True).split()
    assert "handwriting@v1.0.0" in tags
    assert container.times() == before
    done = apart.call("image", "context", tmp_path / "service", "--target", "service")
    assert "docker build --target service --tag loopline/service:" in done.out, done.log
    assert list((tmp_path / "service" / "bento").rglob("package.zip")), "the champion, wherever it was built"
