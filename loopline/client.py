"""Ask the service, from a program: typed answers, and patience where a failure passes by itself.

    with Client("http://127.0.0.1:3000", key=KEY) as client:
        print(client.read(Path("line.png")).text)

`AsyncClient` is the same, awaited. Both raise UnreachableError for a service that doesn't answer or has no time,
AccessError for a key that it doesn't know, and DataError for what it won't take, with the service's own sentence.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from httpx_retries import Retry, RetryTransport
from pydantic import ValidationError

from loopline.answers import Correction, Message, Model, Reading, ReadingBatch, Refusal, Thanks
from loopline.errors import AccessError, ConfigError, DataError, LooplineError, UnreachableError

FIELD = "image"
OPT_OUT = {"X-Loopline-Capture": "off"}
TIMEOUT_SECONDS = 30.0  # of one try; the service itself gives up after its own time, of 10 s unless set otherwise
RETRIES = 5
BACKOFF_SECONDS, MOST_WAIT_SECONDS = 0.25, 60.0  # doubled with each try, by chance shorter; or what Retry-After says
SENTENCE_LENGTH = 300  # characters of an answer that is not the service's own

Picture = Path | bytes
M = TypeVar("M", bound=Message)


class Client:
    """The service at an address, asked with a key; close it, or use it in a `with`.

    `capture=False` asks the service to keep nothing of what is read. Safe to share between threads.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        capture: bool = True,
    ) -> None:
        self._http = httpx.Client(**_options(url, key, timeout_seconds, retries, capture))

    def read(self, picture: Picture) -> Reading:
        """Read one picture of a line: a file, or its bytes."""
        return self._ask(Reading, "POST", "/read", files=_files([picture]))

    def read_batch(self, pictures: Sequence[Picture]) -> tuple[Reading | Refusal, ...]:
        """Read several pictures in one request, as many as the service takes; a bad one spoils no other."""
        return self._ask(ReadingBatch, "POST", "/read_batch", files=_files(pictures)).readings

    def read_files(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Reading | Refusal]]:
        """Yield each picture, of files and of folders at any depth, with what stands on it or why it can't be read.

        Several requests are on their way at once; the answers come in the order of `picture_files`.
        """
        from loopline.picture_files import picture_files, read_in_batches  # bring what single pictures don't need

        return read_in_batches(picture_files(paths), self.read_batch)

    def correct(self, prediction_id: str, text: str, note: str | None = None) -> Thanks:
        """Say what a line really says; the last correction stands."""
        return self._ask(Thanks, "POST", "/correct", json=_correction(prediction_id, text, note))

    def forget(self, prediction_id: str) -> None:
        """Have what was kept of an answer deleted."""
        _check_forgotten(self._send("DELETE", _place(prediction_id)))

    def model(self) -> Model:
        """Tell which model answers, how good it is and where it comes from."""
        return self._ask(Model, "GET", "/model")

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, kind: type[M], method: str, path: str, **content: Any) -> M:
        return _answer(kind, self._send(method, path, **content))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreached(self._http.base_url, error) from None


class AsyncClient:
    """As Client, for programs that await."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        capture: bool = True,
    ) -> None:
        self._http = httpx.AsyncClient(**_options(url, key, timeout_seconds, retries, capture))

    async def read(self, picture: Picture) -> Reading:
        """Read one picture of a line: a file, or its bytes."""
        return await self._ask(Reading, "POST", "/read", files=_files([picture]))

    async def read_batch(self, pictures: Sequence[Picture]) -> tuple[Reading | Refusal, ...]:
        """Read several pictures in one request, as many as the service takes; a bad one spoils no other."""
        return (await self._ask(ReadingBatch, "POST", "/read_batch", files=_files(pictures))).readings

    async def correct(self, prediction_id: str, text: str, note: str | None = None) -> Thanks:
        """Say what a line really says; the last correction stands."""
        return await self._ask(Thanks, "POST", "/correct", json=_correction(prediction_id, text, note))

    async def forget(self, prediction_id: str) -> None:
        """Have what was kept of an answer deleted."""
        _check_forgotten(await self._send("DELETE", _place(prediction_id)))

    async def model(self) -> Model:
        """Tell which model answers, how good it is and where it comes from."""
        return await self._ask(Model, "GET", "/model")

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, kind: type[M], method: str, path: str, **content: Any) -> M:
        return _answer(kind, await self._send(method, path, **content))

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreached(self._http.base_url, error) from None


def _options(url: str, key: str | None, timeout_seconds: float, retries: int, capture: bool) -> dict[str, Any]:
    if key and not re.fullmatch(r"[!-~]+", key):
        raise ConfigError("the key holds what no key holds, such as a space; take it as `loopline key` printed it")
    retry = Retry(
        total=retries,
        allowed_methods=["GET", "POST", "DELETE"],  # asked twice, each does as asked once
        backoff_factor=BACKOFF_SECONDS,
        max_backoff_wait=MOST_WAIT_SECONDS,
    )
    return {
        "base_url": url,
        "headers": ({"Authorization": f"Bearer {key}"} if key else {}) | ({} if capture else OPT_OUT),
        "timeout": timeout_seconds,
        "transport": RetryTransport(retry=retry),
    }


def _files(pictures: Sequence[Picture]) -> list[tuple[str, tuple[str, bytes]]]:
    # Without the files' own names, which are nobody's business.
    return [(FIELD, (FIELD, one.read_bytes() if isinstance(one, Path) else one)) for one in pictures]


def _correction(prediction_id: str, text: str, note: str | None) -> dict[str, str | None]:
    return Correction.model_construct(prediction_id=prediction_id, text=text, note=note).model_dump()


def _place(prediction_id: str) -> str:
    return f"/predictions/{quote(prediction_id, safe='')}"


def _answer(kind: type[M], response: httpx.Response) -> M:
    if not response.is_success:
        raise _refused(response)
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        raise DataError(
            f"{response.url} answered something else than {kind.__name__}; is this Loopline's service, of this version?"
        ) from None


def _check_forgotten(response: httpx.Response) -> None:
    tries = response.extensions["retry"].attempts_made
    if not response.is_success and not (tries and response.status_code == httpx.codes.NOT_FOUND):
        raise _refused(response)


def _refused(response: httpx.Response) -> LooplineError:
    try:
        said = Refusal.model_validate_json(response.content).error
    except ValidationError:
        said = f"it answered {response.text[:SENTENCE_LENGTH]!r}"
    sentence = f"{response.url.host}:{response.url.port} says {response.status_code}: {said}"
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return AccessError(f"{sentence}; `loopline key` makes one")
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        return UnreachableError(sentence)
    return DataError(sentence)


def _unreached(url: httpx.URL, error: Exception) -> UnreachableError:
    return UnreachableError(f"{url} can't be reached ({str(error) or type(error).__name__}); is the service up?")
