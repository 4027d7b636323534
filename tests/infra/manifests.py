"""What deployments/kubernetes/ gives to a cluster, as kubectl writes it, and whether Kubernetes would take it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from clouds import ROOT

OVERLAYS = ROOT / "deployments" / "kubernetes" / "overlays"
NAMES = sorted(folder.name for folder in OVERLAYS.iterdir())
VERSION = "1.33"  # of Kubernetes

Document = dict[str, Any]


def rendered(overlay: Path) -> list[Document]:
    """Have kubectl render an overlay."""
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl, and no cluster; runs wherever it is installed")
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def check(document: Document, *, strict: bool = True) -> None:
    """Hold a document against Kubernetes' own schemas, strictly each field's name; ValidationError if it fails."""
    kubernetes_validate.validate(document, VERSION, strict=strict)


def found(documents: list[Document], kind: str, name: str) -> Document:
    """Return the one document of a kind and name."""
    (one,) = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return one


def pods(documents: list[Document]) -> Iterator[Document]:
    """Yield what each pod is to be."""
    for one in documents:
        if one["kind"] in ("Deployment", "Job"):
            yield one["spec"]["template"]["spec"]
        if one["kind"] == "CronJob":
            yield one["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers(pod: Document) -> list[Document]:
    """Return a pod's containers, those before the others too."""
    return [*pod.get("initContainers", []), *pod["containers"]]
