"""ONNX Runtime's format for phones: the graph as it was optimised, for builds that hold no more than it needs."""

import contextlib
import io
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mobile:
    """A network in the format `.ort`, and the operators and types that a build must have for it."""

    network: bytes
    operators: bytes


def to_mobile(network: bytes) -> Mobile:
    """Convert an ONNX network, optimised for whatever CPU a phone may have."""
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "model.onnx"
        path.write_bytes(network)
        convert_onnx_models_to_ort(
            path,
            optimization_styles=[OptimizationStyle.Fixed],
            target_platform="arm",  # leaves out what only some CPUs know; reads the same on any other
            enable_type_reduction=True,
        )
        operators = path.with_suffix(".required_operators_and_types.config").read_text()
        # Its comment names the temporary folder.
        lines = [line for line in operators.splitlines() if line and not line.startswith("#")]
        return Mobile(path.with_suffix(".ort").read_bytes(), ("\n".join(lines) + "\n").encode())
