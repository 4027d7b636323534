"""Settings as the environment of other processes, and which of them are secrets."""

from pathlib import Path

from pydantic import SecretStr

from loopline.settings import Settings


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the variables by which another process reads what was set here, in the environment or in .env.

    Secrets are among them. The home folder is not: where it lies is each process's own affair.
    """
    found: dict[str, str] = {}
    for section in settings.model_fields_set - {"home"}:
        for name in getattr(settings, section).model_fields_set:
            value = getattr(getattr(settings, section), name)
            if value is not None:
                told = value.get_secret_value() if isinstance(value, SecretStr) else value
                found[f"LOOPLINE_{section}__{name}".upper()] = str(told.absolute() if isinstance(told, Path) else told)
    return found


def secret_names(settings: Settings) -> list[str]:
    """Return those variables of `as_environment` whose values are nobody else's business."""
    secrets = {("store", "access_key")} | {
        (section, name)
        for section in settings.model_fields_set - {"home"}
        for name in getattr(settings, section).model_fields_set
        if isinstance(getattr(getattr(settings, section), name), SecretStr)
    }
    names = {f"LOOPLINE_{section}__{name}".upper() for section, name in secrets}
    return sorted(names & as_environment(settings).keys())
