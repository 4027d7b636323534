"""What answers: the package's model, the desk, the gate's rules and the keeper, taken on for the routes."""

from fastapi import FastAPI

from about import about
from desk import Desk
from gate import Rules
from gauges import Gauges
from keeping import Keeper
from loopline.answers import Model
from loopline.serving import Predictor
from loopline.settings import Settings
from opening import check_callers, checked_package
from rates import Rates
from routes import Staff
from sight import Sight


def opened(settings: Settings) -> tuple[Predictor, Model]:
    """Return the model and what it says of itself; ConfigError or IntegrityError if it may not answer."""
    check_callers(settings.service)
    package = checked_package(settings.service)
    return Predictor.open(package), about(package, settings.service)


def hire(api: FastAPI, settings: Settings) -> Staff:
    """Have the routes answer in this process, once."""
    predictor, model = opened(settings)
    gauges, service = Gauges(), settings.service
    rules = Rules(service, Rates(service.hashes, per_minute=service.requests_per_minute), gauges)
    desk = Desk(Sight(predictor, gauges), most_waiting=service.most_waiting, gauges=gauges)
    staff = Staff(desk, model, rules, Keeper(settings, package_sha256=model.package_sha256, gauges=gauges))
    api.state.staff, api.state.rules = staff, rules
    return staff
