"""What a Kubeflow component does: starts a step in Loopline's own Python, and hands its outcome on as an artifact.

Imports nothing that Python has not got: the SDK's Python, which runs components, may be another one. LOOPLINE_PYTHON
names Loopline's where it is.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CONTRACT = "contract"  # among an artifact's metadata: the contract, as JSON


def run(step: str, outcome: Any, /, **given: Any) -> None:
    """Run a step with artifacts that hold contracts, and contracts as JSON; write its outcome into an artifact.

    Ends the process with the step's exit code if it fails; it has said why.
    """
    documents = {name: one if isinstance(one, str) else one.metadata[CONTRACT] for name, one in given.items()}
    python = os.environ.get("LOOPLINE_PYTHON", sys.executable)
    command = [python, "-m", "tasks.alone", step]
    done = subprocess.run(command, input=json.dumps(documents), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    outcome.metadata[CONTRACT] = done.stdout
    outcome.metadata["step"] = step
    Path(outcome.path).write_text(done.stdout)
