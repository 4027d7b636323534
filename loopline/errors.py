"""What can go wrong, as seen by the person who has to mend it.

    LooplineError
    ├── UnreachableError     a server did not answer: passes by itself, so steps are retried
    ├── ConflictError        another run decided first: run again
    └── FinalError           running again changes nothing until someone acts
        ├── ConfigError      an order, a setting or a requirement is wrong
        ├── AccessError      credentials refused, bucket or repository missing
        ├── DataError        images or labels that nothing can be built from
        └── IntegrityError   stored bytes are not the bytes that were written

Every message is one sentence: what is wrong, where, what to do.
"""

from pydantic import ValidationError


class LooplineError(Exception):
    """Any failure that Loopline foresaw."""


class UnreachableError(LooplineError):
    """A server did not answer in time."""


class ConflictError(LooplineError):
    """Another run took the decision first."""


class FinalError(LooplineError):
    """No retry can help."""


class ConfigError(FinalError):
    """What the user asked for contradicts itself or names something unknown."""


class AccessError(FinalError):
    """A system refused us, or lacks the place we were sent to."""


class DataError(FinalError):
    """The images or labels can't be used as they are."""


class IntegrityError(FinalError):
    """Bytes read are not those that their digest names."""


def wrong_values(error: ValidationError) -> str:
    """Say in one line which values pydantic refused, and why."""
    said = ((".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors())
    return "; ".join(f"{place}: {reason.lower()}" if place else reason for place, reason in said)
