"""How the service says no: a status and one sentence, the same wherever it is said."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request


class Refused(HTTPException):
    """A request that is not answered, and why: the framework lets these pass wherever they are raised."""

    def __init__(self, status: int, sentence: str, *, retry_seconds: int | None = None, **headers: str) -> None:
        told = {"Retry-After": str(retry_seconds)} if retry_seconds is not None else {}
        super().__init__(status, sentence, {name.replace("_", "-"): value for name, value in headers.items()} | told)


def said(_: Request, refused: Exception) -> JSONResponse:
    """Return a refusal, ours or the framework's, as every answer that is none looks."""
    assert isinstance(refused, HTTPException)
    return JSONResponse({"error": refused.detail}, refused.status_code, refused.headers)


def answer_errors(api: FastAPI) -> None:
    """Let an API answer whatever goes wrong with one sentence, which repeats nothing of what was sent."""
    api.add_exception_handler(HTTPException, said)
    api.add_exception_handler(RequestValidationError, _wrong_form)
    api.add_exception_handler(ClientDisconnect, _gone)
    api.add_exception_handler(Exception, _fault)


def _wrong_form(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return said(request, Refused(422, "; ".join(dict.fromkeys(map(_wrong_value, error.errors())))))


def _wrong_value(error: dict[str, object]) -> str:
    place, kind = error["loc"], error["type"]
    assert isinstance(place, tuple)
    if kind == "extra_forbidden":
        return "a field is unknown; GET /openapi.json tells which there are"
    if kind == "json_invalid":
        return "the body is not JSON"
    name = ".".join(str(part) for part in place[1:]) or "the body"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ').lower()}"


def _gone(request: Request, _: Exception) -> JSONResponse:
    return said(request, Refused(400, "the connection ended before the request did"))


def _fault(request: Request, _: Exception) -> JSONResponse:
    visit = request.state.visit.id
    return said(
        request, Refused(500, f"something is wrong here; whoever runs the service can look for request {visit}")
    )
