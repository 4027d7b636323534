"""The service as a Nuclio function: the Bento's routes behind the Bento's gate, in each of the processor's workers.

Nuclio calls `init_context` once in a worker, which is ready after it, then `handler` for one request at a time.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from httpx import ASGITransport, AsyncClient

import journal
from gate import Gate
from keeping import check_keeping
from loopline.errors import LooplineError
from loopline.settings import read_settings
from rates import PLACE
from routes import make_api
from staffing import hire

ITS_OWN = {"content-length", "content-type"}  # headers that the processor sends by itself
SHARED_RATES = "loopline-rates"  # in the folder for temporary files: all workers of a function count together


def init_context(context: Any) -> None:
    """Load the model; end with one sentence, and so the function's start, if it may not answer."""
    journal.begin()
    rates = Path(tempfile.gettempdir()) / SHARED_RATES
    rates.touch(mode=0o600)
    os.environ.setdefault(PLACE, str(rates))
    api = make_api()
    try:
        settings = read_settings()
        check_keeping(settings)
        hire(api, settings)
    except LooplineError as error:
        raise SystemExit(f"loopline: {error}") from None
    # What fails is answered as the service answers it, without a traceback: the processor would send that.
    transport = ASGITransport(Gate(api, api=api), raise_app_exceptions=False)
    context.user_data = AsyncClient(transport=transport, base_url="http://function")


async def handler(context: Any, event: Any) -> Any:
    """Answer one request as the service does."""
    answer = await context.user_data.request(event.method, event.path, headers=event.headers, content=_sent(event))
    headers = {name: value for name, value in answer.headers.items() if name not in ITS_OWN}
    return context.Response(
        headers=headers,
        body=answer.content,
        content_type=answer.headers.get("content-type", "text/plain"),
        status_code=answer.status_code,
    )


def _sent(event: Any) -> bytes:
    """Return the body as it was sent: of JSON, the processor's wrapper hands on what stands in it."""
    return event.body if isinstance(event.body, bytes) else json.dumps(event.body).encode()
