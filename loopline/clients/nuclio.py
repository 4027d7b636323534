"""Nuclio: functions and the gateways before them, through the dashboard's API (nuclio.io/docs, `/api`)."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
from httpx_retries import Retry, RetryTransport

from loopline.errors import AccessError, ConfigError, FinalError, LooplineError, UnreachableError
from loopline.target_settings import NuclioSettings

TIMEOUT_SECONDS = 60  # until a function is accepted; it is built after that
POLL_SECONDS = 1.0
READY, FAILED = {"ready", "scaledToZero"}, {"error", "unhealthy"}
Document = dict[str, Any]


class Dashboard:
    """One project of a Nuclio."""

    def __init__(self, settings: NuclioSettings) -> None:
        if settings.url is None:
            raise ConfigError("no Nuclio is known; set LOOPLINE_NUCLIO__URL to its dashboard's address")
        self._settings = settings
        token = settings.token.get_secret_value() if settings.token else None
        self._http = httpx.Client(
            base_url=f"{settings.url.rstrip('/')}/api",
            headers={
                "X-Nuclio-Project-Name": settings.project,
                "X-Nuclio-Function-Namespace": settings.namespace,
                "X-Nuclio-Api-Gateway-Namespace": settings.namespace,
            }
            | ({"Authorization": f"Bearer {token}"} if token else {}),
            timeout=TIMEOUT_SECONDS,
            transport=RetryTransport(retry=Retry(total=3, allowed_methods=["GET"], backoff_factor=0.5)),
        )

    def functions(self) -> dict[str, Document]:
        """Return the project's functions by their names."""
        found: dict[str, Document] = self._ask("GET", "/functions").json()
        return found

    def deploy(self, function: Mapping[str, Any], *, seconds: float) -> Document:
        """Create a function, or change it, and wait until it is ready; FinalError says why it does not get so."""
        name = function["metadata"]["name"]
        there = self._find(f"/functions/{name}")
        self._ask(*(("POST", "/functions") if there is None else ("PUT", f"/functions/{name}")), json=function)
        deadline = time.monotonic() + seconds
        while (found := self._ask("GET", f"/functions/{name}").json())["status"].get("state") not in READY:
            status = found["status"]
            if status["state"] in FAILED:
                raise FinalError(f"Nuclio could not start {name}: {_reason(status)}; its log is on the dashboard")
            if time.monotonic() >= deadline:
                raise UnreachableError(f"{name} is {status['state']} after {seconds:g} s; look at Nuclio's dashboard")
            time.sleep(POLL_SECONDS)
        return dict(found)

    def delete(self, name: str) -> None:
        """Delete a function that nothing leads to any more."""
        self._ask("DELETE", "/functions", json={"metadata": {"name": name, "namespace": self._settings.namespace}})

    def gateway(self, name: str) -> Document | None:
        """Return a gateway, or None."""
        return self._find(f"/api_gateways/{name}")

    def put_gateway(self, gateway: Mapping[str, Any], *, new: bool) -> None:
        """Create a gateway, or change it."""
        path = "/api_gateways" if new else f"/api_gateways/{gateway['metadata']['name']}"
        self._ask("POST" if new else "PUT", path, json=gateway)

    def _find(self, path: str) -> Document | None:
        answer = self._send("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: Document = self._checked(answer).json()
        return found

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self._checked(self._send(method, path, **content))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"Nuclio's dashboard at {self._settings.url} can't be reached ({reason})") from None

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        said = f"Nuclio's dashboard says {answer.status_code} to {answer.request.method} {answer.url.path}"
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise AccessError(f"{said}; set LOOPLINE_NUCLIO__TOKEN")
        if answer.is_server_error:
            raise UnreachableError(f"{said}: {answer.text[:200]}")
        raise LooplineError(f"{said}: {answer.text[:200]}")


def _reason(status: Mapping[str, Any]) -> str:
    """Return the status's own word, or the last of the log."""
    said = [status.get("message"), *(line.get("message") for line in reversed(status.get("logs") or []))]
    return next((one.strip().splitlines()[-1] for one in said if one and one.strip()), "it does not say why")
