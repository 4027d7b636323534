"""Prometheus' Pushgateway: what a run that ends measured, for a server that only asks what stands."""

from urllib.error import URLError

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

from loopline.errors import ConfigError, UnreachableError
from loopline.watch_contracts import Watched

JOB = "loopline_watch"
SECONDS = 10
LABELS = ("version", "figure")


def push(address: str, found: Watched) -> None:
    """Replace what the gateway at this address holds of a problem; UnreachableError if it does not take it."""
    registry = CollectorRegistry()
    value = Gauge("loopline_watch", "Figures of the newest window.", LABELS, registry=registry)
    state = Gauge("loopline_watch_state", "0 kept, 1 crossed, 2 twice in a row.", LABELS, registry=registry)
    answers = Gauge("loopline_watch_answers", "Of the newest window.", LABELS[:1], registry=registry)
    answers.labels(found.version).set(found.answer_count)
    for one in found.gauges:
        value.labels(found.version, one.name).set(one.value)
        state.labels(found.version, one.name).set(one.crossed + (one.name in found.drifting))
    try:
        push_to_gateway(address, job=JOB, grouping_key={"problem": found.problem}, registry=registry, timeout=SECONDS)
    except (URLError, TimeoutError) as error:
        raise UnreachableError(f"the Pushgateway at {address} did not take the gauges ({error}); is it up?") from None
    except ValueError as error:
        raise ConfigError(f"LOOPLINE_WATCH__PUSHGATEWAY is no web address: {error}") from None
