"""The bill of an image's packages (SBOM), as CycloneDX 1.6 in JSON: the same packages give the same bytes."""

import json
import uuid
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any
from urllib.parse import quote

LICENCE_CLASSIFIER = "License :: "
MOST_LETTERS = 80  # of a licence's name; some packages put the whole text there


def bill(pins: Iterable[str], *, name: str, version: str, content_sha256: str) -> bytes:
    """Return the bill of an image with these packages; its serial number follows from the rest of the context."""
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content_sha256)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name, "version": version}},
        "components": [_component(*pin.split("==")) for pin in pins],
    }
    return f"{json.dumps(document, indent=1)}\n".encode()


def _component(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{quote(version, safe='')}"
    known: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    licences = _licences(name)
    return known | ({"licenses": licences} if licences else {})


def _licences(name: str) -> list[dict[str, Any]]:
    """Return what a package says of its licence; nothing for one that is not installed here."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return []
    if expressions := said.get_all("License-Expression"):
        return [{"expression": expressions[0]}]
    classified = [
        line.rpartition(" :: ")[2]
        for line in said.get_all("Classifier") or ()
        if line.startswith(LICENCE_CLASSIFIER) and not line.endswith("OSI Approved")
    ]
    text = "".join(said.get_all("License") or ()).strip()
    named = sorted(set(classified)) or [text] * (0 < len(text) <= MOST_LETTERS and "\n" not in text)
    return [{"license": {"name": one}} for one in named]
