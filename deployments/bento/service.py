"""The service inside a Bento: one image in, its text out."""

from pathlib import Path

import bentoml
from bentoml.exceptions import InvalidArgument
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loopline.errors import DataError
from loopline.serving import Predictor

PACKAGE = Path(__file__).parent / "package.zip"
LARGEST_MB = 64  # the largest picture that is decoded has 40 megapixels: uncompressed and grey, 40 MB


class OnlyUploads:
    """Let through one uploaded file of a sane size: BentoML takes any size, and fetches an address sent for a file."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400 or 413 with a sentence, or hand the request on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        body = bytearray()
        async for chunk in Request(scope, receive).stream():
            body += chunk
            if len(body) > LARGEST_MB * 1_000_000:
                return await _refusal(413, f"the picture is over {LARGEST_MB} MB")(scope, receive, send)
        if not await _is_upload(Request(scope, _replay(body, receive))):
            return await _refusal(400, "send one picture as the file `image` of a form")(scope, receive, send)
        return await self.app(scope, _replay(body, receive), send)


class Reading(BaseModel):
    """What stands on a line."""

    text: str
    confidence: float = Field(description="From 0 to 1.")


@bentoml.service(name="reader")
class Reader:
    """Reads lines with ONNX Runtime; holds nothing but the package beside it."""

    def __init__(self) -> None:
        self.predictor = Predictor.open(PACKAGE)

    @bentoml.api  # type: ignore[untyped-decorator]
    def read(self, image: Path) -> Reading:
        """Read one PNG, JPEG, WEBP or TIFF picture of a line."""
        try:
            (answer,) = self.predictor.read_images([image.read_bytes()])
        except DataError as error:
            raise InvalidArgument(f"the picture can't be read: {error}") from None
        return Reading(text=answer.text, confidence=answer.confidence)


Reader.add_asgi_middleware(OnlyUploads)  # type: ignore[attr-defined]  # the decorator made a service of it


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)


async def _is_upload(request: Request) -> bool:
    try:
        async with request.form() as form:
            images = form.getlist("image")
    except (HTTPException, MultiPartException):
        return False
    return len(images) == 1 and isinstance(images[0], UploadFile)


def _replay(body: bytearray, receive: Receive) -> Receive:
    """Return a `receive` that gives a body read already, and then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": bytes(body)}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
