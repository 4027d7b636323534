"""README and guides name nothing that isn't there."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from loopline.cli import app
from loopline.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDES = [
    ROOT / "docs" / name for name in ("aws.md", "elsewhere.md", "operate.md", "schedule.md", "start.md", "subscribe.md")
]
GUIDES += [ROOT / "infra" / "README.md", ROOT / "deployments" / "kubernetes" / "README.md"]
ALL = "\n".join([README, *(guide.read_text() for guide in GUIDES)])
OTHERS = (
    r"loopline prefect .*|^prefect .*|git clone .*?`|gto .*?`|tensorboard .*|docker .*|kubectl .*"
    r"|^aws (?:.*\\\n)*.*|^export \w+=\$\(aws .*|`aws .*?`|NUCLIO.*|^\.loopline/kubeflow/bin/pip .*"
)
OURS = re.sub(OTHERS, "", ALL, flags=re.MULTILINE)
BLOCKS = "\n".join(re.findall(r"^```\n(.*?)^```", ALL, re.DOTALL | re.MULTILINE))


def options(command: Any) -> set[str]:
    """Return the options of a command and of all commands below it."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*(options(one) for one in getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^loopline (\w+)", BLOCKS, re.MULTILINE))))
def test_every_command_exists(name: str) -> None:
    assert name in typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", sorted(set(re.findall(r"(--[a-z][a-z-]+)", OURS))))
def test_every_option_exists(option: str) -> None:
    assert option in options(typer.main.get_command(app))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)", README))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=lambda page: page.name)
def test_every_linked_file_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert links and [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"LOOPLINE_[A-Z0-9_]+", ALL + (ROOT / ".env.example").read_text())))
)
def test_every_setting_exists(name: str) -> None:
    section, _, field = name.removeprefix("LOOPLINE_").lower().partition("__")
    assert section in Settings.model_fields or name == "LOOPLINE_"
    if field:
        assert field in type(getattr(Settings(), section)).model_fields
