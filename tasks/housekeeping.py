"""What users of the service sent, deleted when it is to be forgotten or its days are over."""

from datetime import UTC, datetime

from loopline.capture_contracts import Swept
from loopline.forgetting import Places
from loopline.forgetting import sweep as delete
from loopline.settings import Settings
from tasks.caching import step
from tasks.places import label_studio, registry, store


@step()
def sweep(problem: str) -> Swept:
    """Delete it wherever it went but for dataset versions, which are named."""
    places = Places(store(), label_studio, problem, registry().datasets(problem))
    return delete(places, days=Settings().service.capture_days, today=datetime.now(UTC).date())
