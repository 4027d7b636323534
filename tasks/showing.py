"""What a step tells whoever watches it: log lines, tables, links and progress, on the run's page where there is a run.

A step that runs without Prefect, as on Kubeflow, logs as any program does and shows nothing.
"""

import logging
from collections.abc import Callable
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


def log() -> Log:
    """Return the run's logger, or Loopline's own outside a run."""
    return get_run_logger() if in_a_run() else logging.getLogger("loopline")


def table(markdown: str, *, key: str, description: str) -> None:
    """Put a text on the run's page."""
    if in_a_run():
        create_markdown_artifact(markdown, key=key, description=description)


def link(address: str, *, key: str, text: str) -> None:
    """Put a link on the run's page."""
    if in_a_run():
        create_link_artifact(address, link_text=text, key=key)


def progress(title: str) -> Callable[[float], None]:
    """Put a bar on the run's page; the function returned sets it to a share, from 0 to 1."""
    artifact = create_progress_artifact(0.0, description=title) if in_a_run() else None
    shown = 0.0

    def show(share: float) -> None:
        nonlocal shown
        if share != shown and isinstance(artifact, UUID):
            update_progress_artifact(artifact, 100 * share)
        shown = share

    return show


def in_a_run() -> bool:
    """Tell whether Prefect runs this."""
    return bool(TaskRunContext.get() or FlowRunContext.get())
