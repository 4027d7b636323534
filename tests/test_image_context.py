"""The build contexts of images that run flows: whole, pinned, the same bytes twice, and their packages billed."""

import json
import os
import re
import subprocess
from pathlib import Path

import dockerfiles
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from typer.testing import CliRunner

from loopline.cli import app
from loopline.image import SOURCES, Context, content_sha256, write_flows
from loopline.pins import CONSTRAINTS, CUDA, LAPTOP_ONLY, WORKER, Machine
from loopline.services import flow_environment
from loopline.settings import PrefectSettings

ROOT = Path(__file__).parents[1]
PIN = r"[a-z0-9-]+==[0-9][\w.]*(\+cpu)?"


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return request.param


@pytest.fixture(scope="module")
def context(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / machine
    write_flows(folder, machine)
    return folder


def pins(context: Path, name: str = "requirements.txt") -> dict[str, str]:
    return dict(line.split("==") for line in (context / name).read_text().splitlines())


def test_a_context_holds_what_is_copied_and_nothing_else(context: Path, machine: Machine) -> None:
    lines = dockerfiles.instructions(context, machine)
    copied = [line.split()[0] for line in dockerfiles.arguments(lines, "COPY")]
    assert sorted(["Dockerfile", *copied]) == sorted(path.name for path in context.iterdir())
    sources = {
        str(path.relative_to(context / "sources")) for path in (context / "sources").rglob("*") if path.is_file()
    }
    listed = subprocess.check_output(["git", "ls-files", "--", *SOURCES], cwd=ROOT, text=True).splitlines()
    assert sources == {name for name in listed if (ROOT / name).exists()}
    assert {"flows/deploy.py", "prefect.yaml", "deployments/bento/service.py", "pyproject.toml"} <= sources


def test_the_image_is_of_a_pinned_base_and_its_user_is_no_root(context: Path, machine: Machine) -> None:
    lines = dockerfiles.instructions(context, machine)
    assert re.fullmatch(r"FROM python:3\.\d+-slim-bookworm", lines[0])
    assert dockerfiles.arguments(lines, "USER")[-1] == "10001:10001"
    assert not dockerfiles.arguments(lines, "ENTRYPOINT"), "Prefect gives a container the command of its run"
    text = (context / "Dockerfile").read_text()
    assert "latest" not in text and f"\nARG MACHINE={machine}\n" in text
    assert all(":" in base or "$" in base for base in re.findall(r"^FROM (\S*[/:]\S*)", text, re.MULTILINE))


def test_a_run_in_a_pool_has_the_settings_of_one_on_a_laptop(context: Path, machine: Machine) -> None:
    there = dockerfiles.environment(dockerfiles.instructions(context, machine))
    laptops = flow_environment(PrefectSettings(api_url="http://127.0.0.1/api"))
    del laptops["PREFECT_API_URL"]
    assert {name: there.get(name) for name in laptops} == laptops


def test_every_package_is_pinned_as_it_is_tested(context: Path, machine: Machine) -> None:
    text = (context / "requirements.txt").read_text()
    assert all(re.fullmatch(PIN, line) for line in text.splitlines())
    found = pins(context)
    known = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines())
    assert {name: pin for name, pin in found.items() if known.get(name, pin) != pin.removesuffix("+cpu")} == {}
    assert {"prefect", "torch", "dvc", "bentoml", "setuptools"} <= found.keys()
    assert not found.keys() & {*LAPTOP_ONLY, "pytest", "mypy"}
    assert (set(WORKER) <= found.keys()) == (machine == "cpu")


def test_torch_is_a_layer_of_its_own(context: Path, machine: Machine) -> None:
    torch = pins(context, "torch.txt")
    assert torch.items() <= pins(context).items()
    if machine == "cpu":
        assert torch.keys() == {"torch"} and torch["torch"].endswith("+cpu")
    else:
        assert {"torch", "triton", "nvidia-cudnn-cu13"} <= torch.keys() and "+" not in torch["torch"]


def test_pins_of_cuda_agree_with_all_others() -> None:
    known = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines())
    cuda = dict(line.split("==") for line in CUDA.read_text().splitlines())
    assert {name: pin for name, pin in cuda.items() if known.get(name, pin) != pin} == {}


def test_the_bill_is_valid_and_names_each_package_once(context: Path) -> None:
    text = (context / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    billed = [f"{one['name']}=={one['version']}" for one in document["components"]]
    assert billed == (context / "requirements.txt").read_text().splitlines()
    purls = {one["name"]: one["purl"] for one in document["components"]}
    assert purls["prefect"] == f"pkg:pypi/prefect@{pins(context)['prefect']}"
    assert purls["torch"] == "pkg:pypi/torch@" + pins(context)["torch"].replace("+", "%2B")
    licensed = [one for one in document["components"] if one.get("licenses")]
    assert len(licensed) > len(billed) * 0.8


def test_the_same_sources_give_the_same_bytes_which_any_user_may_read(
    context: Path, machine: Machine, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        again: Context = write_flows(tmp_path / "again", machine)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "again").rglob("*")} == {0o755, 0o644}
    assert again.sha256 == content_sha256(context) == content_sha256(tmp_path / "again")
    (tmp_path / "again" / "sources" / "prefect.yaml").write_text("other: true\n")
    assert content_sha256(tmp_path / "again") != again.sha256


def test_the_command_says_what_is_in_the_layers_and_how_to_build(tmp_path: Path) -> None:
    folder = tmp_path / "context"
    said = CliRunner().invoke(app, ["image", "context", str(folder), "--target", "cpu"], env={"COLUMNS": "200"}).output
    digest = content_sha256(folder)
    assert f"docker build --target cpu --tag loopline/cpu:{digest[:12]} {folder}" in said and digest in said
    assert re.search(r"^torch +1 +\d+\.\d MB", said, re.MULTILINE) and re.search(
        r"^sources +\d{3} ", said, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--target", "cpu", "--gpu"], "--target gpu"), (["--target", "cpu"], "is in use")]
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = CliRunner().invoke(app, ["image", "context", str(tmp_path), *arguments])
    assert done.exit_code == 2 and words in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
