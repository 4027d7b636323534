"""How Label Studio is asked for some of a project's tasks."""

from datetime import UTC, datetime
from typing import Any

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"  # the only one that it knows


def where(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    """Return the filter for tasks by one of their columns."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def changed(operator: str, at: datetime) -> dict[str, Any]:
    """Return the filter for tasks changed before or after a time."""
    return where("updated_at", operator, "Datetime", at.astimezone(UTC).strftime(TIME_FORMAT))


def filled(field: str) -> dict[str, Any]:
    """Return the filter for tasks whose data has a field."""
    return where(f"data.{field}", "empty", "String", "false")
