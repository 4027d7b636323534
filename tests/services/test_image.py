"""The image of the service: what `docker build` is given is whole and pinned, and serves from just these files."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import bentos
import psutil
import pytest
from bentos import KEYS, Served
from test_service_pictures import PNG

from loopline.errors import ConfigError
from loopline.image import CPU_BASE, GPU_BASE, GPU_RUNTIME, write_context


@pytest.fixture(scope="module")
def context(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "context"
    write_context(bento, folder, gpu=False)
    return folder


def lines(context: Path) -> list[str]:
    """The instructions of the Dockerfile, each in one line."""
    text = re.sub(r"^#.*\n", "", (context / "Dockerfile").read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line]


def command_of(context: Path, instruction: str) -> list[str]:
    (found,) = [line for line in lines(context) if line.startswith(instruction)]
    return list(re.findall(r'"([^"]+)"', found.partition("[")[2]))


def pip(*arguments: str | Path) -> str:
    """Run pip, which knows where packages come from here; what it said."""
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_all_that_is_copied_is_there_and_the_user_is_no_root(context: Path) -> None:
    copied = [line.split()[1] for line in lines(context) if line.startswith("COPY")]
    assert copied == ["requirements.txt", "bento"] and all((context / one).exists() for one in copied)
    assert f"ARG BASE={CPU_BASE}" in lines(context)
    assert "USER 10001:10001" in lines(context)
    assert "@" not in "".join(lines(context))
    pinned = (context / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9._-]+(\[.*\])?==[0-9][\w.]*", one) for one in pinned)
    assert {"bentoml", "onnxruntime", "uvicorn", "uvloop"} <= {one.partition("==")[0] for one in pinned}


def test_another_folder_is_not_overwritten(bento: Path, context: Path) -> None:
    with pytest.raises(ConfigError, match="is in use"):
        write_context(bento, context, gpu=False)


def test_what_a_gpu_gets_as_it_is_rendered(bento: Path, tmp_path: Path) -> None:
    write_context(bento, tmp_path / "gpu", gpu=True)
    assert f"ARG BASE={GPU_BASE}" in lines(tmp_path / "gpu")
    assert any("python3-venv" in line for line in lines(tmp_path / "gpu"))
    pinned = (tmp_path / "gpu/requirements.txt").read_text().splitlines()
    assert GPU_RUNTIME in pinned and not any(one.startswith("onnxruntime==") for one in pinned)
    name, _, version = GPU_RUNTIME.partition("==")
    there = ["--python-version", "3.12", "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:"]  # the base's
    listed = pip("index", "versions", name, *there)
    assert version in listed.replace(",", " ").split()


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
    command = [port if part == "3000" else part for part in command_of(context, "CMD")]
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
        health = [part.replace("3000", port) for part in command_of(context, "HEALTHCHECK")]
        assert subprocess.run([venv / "bin" / health[0], *health[1:]]).returncode == 0
    finally:
        process.terminate()
        process.wait(60)
    assert subprocess.run([venv / "bin" / health[0], *health[1:]], capture_output=True).returncode != 0
    assert {path: path.stat().st_mtime_ns for path in (*files.rglob("*"), *venv.rglob("*"))} == before
