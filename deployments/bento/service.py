"""The service inside a Bento: pictures of lines in, their texts out, for those who have a key.

service.py   this: what BentoML starts
opening.py   what must hold before it starts
staffing.py  who is there once it has
gate.py      who may come in, how fast, with how much and for how long; rates.py counts
routes.py    what can be asked; uploads.py takes pictures out of a request, openapi.py describes it all
desk.py      where pictures wait and are read
refusal.py   how it says no
gauges.py    what it counts; journal.py, what it writes down
"""

import bentoml

import journal
from gate import Gate
from keeping import check_keeping
from loopline.errors import LooplineError
from loopline.settings import read_settings
from opening import hand_on
from routes import make_api
from staffing import hire, opened

api = make_api()


@bentoml.service(  # one process a core; each has one thread for the network
    name="reader",
    workers="cpu_count",
    metrics={"enabled": False},  # they count by whatever path is asked for, without bound; ours are at /metrics
    logging={"access": {"enabled": False}},  # the gate writes down what is asked
    tracing={"excluded_urls": [".*"]},
)
@bentoml.asgi_app(api)
class Reader:
    """Reads lines with ONNX Runtime; holds nothing but the package beside it."""

    def __init__(self) -> None:
        journal.begin()
        self.staff = hire(api, read_settings())

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """End with one sentence, in the process that starts the others, if they could not serve."""
        try:
            settings = read_settings()
            opened(settings)
            check_keeping(settings)
        except LooplineError as error:
            raise SystemExit(f"loopline: {error}") from None
        hand_on(settings)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """End what reads; all requests have their answers by now."""
        self.staff.desk.close()
        self.staff.keeper.close()


Reader.add_asgi_middleware(Gate, api=api)  # type: ignore[attr-defined]  # the decorator made a service of it
