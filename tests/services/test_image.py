"""The image of the service: what `docker build` is given is whole and pinned, and serves from just these files."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import bentos
import dockerfiles
import psutil
import pytest
from bentos import KEYS, Served
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from test_service_pictures import PNG

from loopline.errors import ConfigError
from loopline.image import write_service
from loopline.pins import GPU_RUNTIME


@pytest.fixture(scope="module")
def context(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "context"
    write_service(bento, folder, "cpu")
    return folder


def pip(*arguments: str | Path) -> str:
    """Run pip, which knows where packages come from here; what it said."""
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_all_that_is_copied_is_there_and_the_user_is_no_root(context: Path) -> None:
    lines = dockerfiles.instructions(context, "service")
    copied = [line.split()[0] for line in dockerfiles.arguments(lines, "COPY")]
    assert sorted(["Dockerfile", *copied]) == sorted(path.name for path in context.iterdir())
    assert re.fullmatch(r"FROM python:3\.\d+-slim-bookworm", lines[0])
    assert dockerfiles.arguments(lines, "USER") == ["10001:10001"]
    pinned = (context / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][\w.]*", one) for one in pinned)
    assert {"bentoml", "onnxruntime", "uvicorn", "uvloop"} <= {one.partition("==")[0] for one in pinned}


def test_the_bill_names_each_package(context: Path) -> None:
    text = (context / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    billed = [f"{one['name']}=={one['version']}" for one in json.loads(text)["components"]]
    assert billed == (context / "requirements.txt").read_text().splitlines()


def test_another_folder_is_not_overwritten(bento: Path, context: Path) -> None:
    with pytest.raises(ConfigError, match="is in use"):
        write_service(bento, context, "cpu")


def test_what_a_gpu_gets_as_it_is_rendered(bento: Path, tmp_path: Path) -> None:
    write_service(bento, tmp_path / "gpu", "gpu")
    lines = dockerfiles.instructions(tmp_path / "gpu", "service")
    assert lines[0].startswith("FROM nvidia/cuda:13.") and any("python3-venv" in line for line in lines)
    pinned = (tmp_path / "gpu/requirements.txt").read_text().splitlines()
    assert GPU_RUNTIME in pinned and not any(one.startswith("onnxruntime==") for one in pinned)
    name, _, version = GPU_RUNTIME.partition("==")
    there = ["--python-version", "3.12", "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:"]  # the base's
    listed = pip("index", "versions", name, *there)
    assert version in listed.replace(",", " ").split()


@pytest.mark.elsewhere
def test_it_serves_from_just_these_files_in_a_fresh_environment_and_writes_to_neither(
    context: Path, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip("--python", venv / "bin/python", "install", "--no-deps", "--requirement", context / "requirements.txt")
    files, writable = tmp_path / "srv", tmp_path / "tmp"
    shutil.copytree(context, files)
    writable.mkdir()
    before = {path: path.stat().st_mtime_ns for path in (*files.rglob("*"), *venv.rglob("*"))}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    lines = dockerfiles.instructions(context, "service")
    command = [port if part == "3000" else part for part in dockerfiles.command(lines, "CMD")]
    settings = {"PATH": f"{venv}/bin:/usr/bin:/bin", "TMPDIR": str(writable), "BENTOML_HOME": str(writable / "bentoml")}
    settings |= {"PYTHONDONTWRITEBYTECODE": "1", "LOOPLINE_SERVICE__SPOOL": str(writable / "spool")}
    settings |= {"BENTOML_CONFIG_OPTIONS": "services.reader.workers=1", "HOME": "/nonexistent", **bentos.KEYED}
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [venv / "bin" / command[0], *command[1:]], cwd=files / "bento", env=settings, stdout=out, stderr=out
        )
    try:
        served = Served(f"http://127.0.0.1:{port}", psutil.Process(process.pid), log)
        bentos.wait_until_ready(served, process, workers=1)
        with served.client(KEYS[0]) as client:
            assert client.post("/read", files={"image": PNG}).json()["text"]
        health = [part.replace("3000", port) for part in dockerfiles.command(lines, "HEALTHCHECK")]
        assert subprocess.run([venv / "bin" / health[0], *health[1:]]).returncode == 0
    finally:
        process.terminate()
        process.wait(60)
    assert subprocess.run([venv / "bin" / health[0], *health[1:]], capture_output=True).returncode != 0
    assert {path: path.stat().st_mtime_ns for path in (*files.rglob("*"), *venv.rglob("*"))} == before


def test_an_engine_builds_it_and_the_user_may_not_write_beside_the_spool(context: Path) -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no container engine answers `docker info`; runs wherever one does")
    tag = "loopline-test/service"
    build = ["docker", "build", "--quiet", "--target", "service", "--tag", tag, context]
    subprocess.run(build, check=True, env=os.environ | {"DOCKER_BUILDKIT": "1"})
    script = "id -u; command -v uv pip; touch /srv/there; touch /spool/there /tmp/there && python -c 'import bentoml'"
    ran = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--volume", "/spool", tag, "sh", "-c", script]
    try:
        done = subprocess.run(ran, capture_output=True, text=True)
        assert (done.returncode, done.stdout.split()) == (0, ["10001"]), done.stderr
    finally:
        subprocess.run(["docker", "image", "rm", tag], capture_output=True)
