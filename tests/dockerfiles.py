"""A Dockerfile, read: what ends in the image of a target."""

import re
import shlex
from pathlib import Path


def instructions(context: Path, target: str) -> list[str]:
    """Return the instructions of a target's image from its base on, each in one line."""
    text = re.sub(r"^#.*\n", "", (context / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in text.splitlines() if line]
    first = next(number for number, line in enumerate(lines) if line.startswith("FROM"))
    values = dict(line.removeprefix("ARG ").split("=") for line in lines[:first])
    stages: dict[str, list[str]] = {}
    for line in lines[first:]:
        if line.startswith("FROM"):
            base, _, name = line.removeprefix("FROM ").partition(" AS ")
            base = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], base)
            stages[name] = current = list(stages.get(base, [f"FROM {base}"]))
        else:
            current.append(line)
    return stages[target]


def arguments(lines: list[str], instruction: str) -> list[str]:
    """Return what follows each occurrence of an instruction."""
    return [line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")]


def command(lines: list[str], instruction: str) -> list[str]:
    """Return the command of CMD or HEALTHCHECK: the last one holds."""
    return list(re.findall(r'"([^"]+)"', arguments(lines, instruction)[-1].partition("[")[2]))


def environment(lines: list[str]) -> dict[str, str]:
    """Return the variables of ENV, with PATH where the base has none."""
    pairs = [pair.split("=", 1) for line in arguments(lines, "ENV") for pair in shlex.split(line)]
    return {name: value.replace("$PATH", "/usr/local/bin:/usr/bin:/bin") for name, value in pairs}
