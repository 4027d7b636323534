"""How the service describes itself: what FastAPI can't tell from the routes."""

from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

FILE = {"type": "string", "format": "binary"}
RAW = {kind: {"schema": FILE} for kind in ("image/png", "image/jpeg", "image/webp", "image/tiff")}
KEYS = {"Bearer": {"type": "http", "scheme": "bearer"}, "Key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}
ID = "0199f3a2c4d07f00a1b2c3d4e5f60718"
READING = {
    "prediction_id": ID,
    "text": "407",
    "confidence": 0.97,
    "unsure": False,
    "characters": [
        {"text": "4", "confidence": 0.99, "left_px": 3.0, "right_px": 21.0},
        {"text": "0", "confidence": 0.99, "left_px": 21.0, "right_px": 38.0},
        {"text": "7", "confidence": 0.98, "left_px": 38.0, "right_px": 57.0},
    ],
    "width_px": 60,
    "height_px": 32,
    "model": "handwriting:dbab63c5f510",
}
UNREADABLE = {"error": "the picture can't be read: truncated"}
EXAMPLES = {  # of what is sent and what is answered
    "/read": (None, READING),
    "/read_batch": (None, {"readings": [READING, UNREADABLE]}),
    "/correct": ({"prediction_id": ID, "text": "401"}, {"prediction_id": ID}),
}
REFUSALS = {
    "400": "What was sent is no picture that can be read.",
    "401": "No key, or an unknown one.",
    "404": "There is no such thing.",
    "408": "The request did not arrive in time.",
    "409": "Nothing is kept here.",
    "413": "Too large.",
    "415": "Not a type that is read here.",
    "422": "What was sent has another form.",
    "429": "The key asks too often; Retry-After says when it may again.",
    "503": "Too much waits; Retry-After says when to ask again.",
    "504": "No answer in time.",
}


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    form = {"type": "object", "properties": {"image": schema}, "required": ["image"]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}, **RAW}}}


PICTURE = _form(FILE)
PICTURES = _form({"type": "array", "items": FILE, "minItems": 1})


def described(api: FastAPI) -> None:
    """Let an API describe itself with keys, refusals and examples."""
    api.openapi = partial(_description, api)  # type: ignore[method-assign]


def _description(api: FastAPI) -> dict[str, Any]:
    if not api.openapi_schema:
        found = get_openapi(title=api.title, version="1", description=__doc__, routes=api.routes)
        _complete(found)
        api.openapi_schema = found
    return api.openapi_schema


def _complete(found: dict[str, Any]) -> None:
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    found["components"]["securitySchemes"] = KEYS
    found["security"] = [{name: []} for name in KEYS]
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}, "example": UNREADABLE}}
    for path, operations in found["paths"].items():
        for operation in operations.values():
            for status, meaning in REFUSALS.items():
                operation["responses"][status] = {"description": meaning, "content": refusal}
        if path in EXAMPLES:
            sent, answered = EXAMPLES[path]
            operations["post"]["responses"]["200"]["content"]["application/json"]["example"] = answered
            if sent:
                operations["post"]["requestBody"]["content"]["application/json"]["example"] = sent
