"""Pictures out of a request: uploaded files or a raw body, never an address that we would have to fetch."""

from starlette.datastructures import UploadFile
from starlette.requests import Request

from refusal import Refused

FIELD = "image"
TEXT_BYTES = 1024  # of a field that is no file: it is refused anyway


async def pictures(request: Request, *, most: int) -> list[bytes]:
    """Return what was uploaded, from one picture to so many; Refused for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/"):
        return [await request.body()]
    if kind == "multipart/form-data":
        return await _files(request, most=most)
    raise Refused(
        415, f"send pictures as files `{FIELD}` of a form, or one as the body with its type, such as image/png"
    )


async def _files(request: Request, *, most: int) -> list[bytes]:
    async with request.form(max_files=most, max_fields=1, max_part_size=TEXT_BYTES) as form:
        uploads = form.multi_items()
        if not uploads or not all(name == FIELD and isinstance(upload, UploadFile) for name, upload in uploads):
            raise Refused(400, f"send pictures as files named `{FIELD}`; texts and addresses are not taken")
        return [await upload.read() for _, upload in uploads if isinstance(upload, UploadFile)]
