"""The service inside a Bento: pictures of lines in, their texts out, for those who have a key.

service.py   this: what BentoML starts
opening.py   what must hold before it starts
gate.py      who may come in, how fast, with how much and for how long; rates.py counts
routes.py    what can be asked; uploads.py takes pictures out of a request, openapi.py describes it all
desk.py      where pictures wait and are read
refusal.py   how it says no
gauges.py    what it counts; journal.py, what it writes down
"""

import bentoml

import journal
from about import about
from desk import Desk
from gate import Gate, Rules
from gauges import Gauges
from keeping import Keeper, check_keeping
from loopline.answers import Model
from loopline.errors import LooplineError
from loopline.serving import Predictor
from loopline.settings import Settings, read_settings
from opening import check_callers, checked_package, hand_on
from rates import Rates
from routes import Staff, make_api
from sight import Sight

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
        settings = read_settings()
        self.predictor, model = _open(settings)
        journal.begin()
        gauges, service = Gauges(), settings.service
        rules = Rules(service, Rates(service.hashes, per_minute=service.requests_per_minute), gauges)
        self.desk = Desk(Sight(self.predictor, gauges), most_waiting=service.most_waiting, gauges=gauges)
        self.keeper = Keeper(settings, package_sha256=model.package_sha256, gauges=gauges)
        api.state.staff = Staff(self.desk, model, rules, self.keeper)
        api.state.rules = rules

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """End with one sentence, in the process that starts the others, if they could not serve."""
        try:
            settings = read_settings()
            _open(settings)
            check_keeping(settings)
        except LooplineError as error:
            raise SystemExit(f"loopline: {error}") from None
        hand_on(settings)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """End what reads; all requests have their answers by now."""
        self.desk.close()
        self.keeper.close()


Reader.add_asgi_middleware(Gate, api=api)  # type: ignore[attr-defined]  # the decorator made a service of it


def _open(settings: Settings) -> tuple[Predictor, Model]:
    check_callers(settings.service)
    package = checked_package(settings.service)
    return Predictor.open(package), about(package, settings.service)
