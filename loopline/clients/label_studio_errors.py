"""What goes wrong between us and Label Studio, in our words: none of the SDK's, since they may hold a token."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import httpx
from label_studio_sdk.core.api_error import ApiError

from loopline.errors import AccessError, ConfigError, DataError, LooplineError, UnreachableError
from loopline.settings import StoreSettings

REMEDY = "make a new personal access token there (Account & Settings) and set LOOPLINE_LABEL_STUDIO__API_KEY"


@contextmanager
def explained(url: str, what: str) -> Iterator[None]:
    """Turn the SDK's exceptions over something at a server into ours."""
    try:
        yield
    except ApiError as error:
        raise _refusal(error, url, what=what) from None
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"Label Studio at {url} did not answer for {what} ({type(error).__name__}); check that it runs and that "
            "LOOPLINE_LABEL_STUDIO__URL is right"
        ) from None
    except (ValueError, KeyError):  # JSON that ends early, or holds something else; pydantic's errors are ValueErrors
        raise UnreachableError(
            f"what Label Studio at {url} answered for {what} is cut short or garbled; try again"
        ) from None


@contextmanager
def store_explained(url: str, store: StoreSettings) -> Iterator[None]:
    """Say which setting to look at when Label Studio can't use a store; what else it says is for `explained`."""
    try:
        yield
    except ApiError as error:
        status = error.status_code or 0
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnreachableError(_no_store(url, store, reason=str(status))) from None
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN):
            raise ConfigError(_no_store(url, store, reason=_reason(error.body))) from None
        raise
    except httpx.TimeoutException:
        raise UnreachableError(_no_store(url, store, reason="no answer in time")) from None


def _no_store(url: str, store: StoreSettings, *, reason: str) -> str:
    return (
        f"Label Studio at {url} can't read bucket {store.bucket} at {store.endpoint} ({reason}); let "
        "LOOPLINE_LABEL_STUDIO__STORE_ENDPOINT be the address where it and its users' browsers reach the store"
    )


def _refusal(error: ApiError, url: str, *, what: str) -> LooplineError:
    status = error.status_code or 0
    if status in (401, 403):
        return AccessError(f"Label Studio at {url} refuses the token for {what} ({status}); {REMEDY}")
    if status == 404:
        return DataError(f"Label Studio at {url} has no {what}; it was deleted there, or never made")
    if status == 429 or status >= 500 or status < 400:
        return UnreachableError(f"Label Studio at {url} answered {status} for {what}; try again later")
    return ConfigError(f"Label Studio at {url} does not accept {what} ({status}): {_reason(error.body)}")


def _reason(body: Any) -> str:
    told = body.get("validation_errors") or body.get("detail") if isinstance(body, dict) else None
    return " ".join(str(told).split())[:200] if told else "no reason was given"
