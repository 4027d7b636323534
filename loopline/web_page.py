"""The page that reads in a browser: our own sources, a model, and ONNX Runtime's build for browsers, as one folder.

Any web server serves it; it asks nothing of any other.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from loopline.clients.npm import NpmPackage, read_package
from loopline.errors import ConfigError
from loopline.problems import Problem

SOURCES = Path(__file__).parents[1] / "deployments" / "browser"
PROBLEM = "handwriting"  # what the page can prepare and decode
RUNTIME = NpmPackage(
    name="onnxruntime-web",
    version="1.30.0",
    sha512="q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
)
RUNTIME_FILES = ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm")
OFFLINE = "offline.js"


def page_files(problem: Problem, model: Mapping[str, bytes], *, npm_registry: str, cache: Path) -> dict[str, bytes]:
    """Return the page's files by their paths, around a model's: reader.json, the network, the language if it needs one.

    Raises ConfigError for a problem that the page can't read; for the npm registry as `read_package`.
    """
    if problem.name != PROBLEM:
        raise ConfigError(f"the page in {SOURCES} reads {PROBLEM} only, not {problem.name}; choose another target")
    runtime = read_package(RUNTIME, RUNTIME_FILES, registry=npm_registry, cache=cache)
    files = {path.relative_to(SOURCES).as_posix(): path.read_bytes() for path in SOURCES.rglob("*") if path.is_file()}
    files |= {f"vendor/{path.rpartition('/')[2]}": content for path, content in runtime.items()} | dict(model)
    return files | {OFFLINE: _build(files) + files[OFFLINE]}


def _build(files: Mapping[str, bytes]) -> bytes:
    """Return the line that tells offline.js what to keep; another file makes another line, by which browsers notice."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    kept = ["./", *sorted(name for name in files if name != OFFLINE)]
    return f"const BUILD = {json.dumps({'version': digest.hexdigest()[:16], 'files': kept})};\n".encode()
