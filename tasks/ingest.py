"""Take in what lies in the source."""

from loopline.contracts import RawDataset
from loopline.intake import take_images
from tasks.caching import step
from tasks.places import store


@step()
def ingest(problem: str, source: str) -> RawDataset:
    """List the source, read what is new, accept or quarantine it."""
    return take_images(store(), problem, source)
