"""Take in what lies in the source."""

from loopline.contracts import Artifact, KeyRange, RawDataset
from loopline.intake import take_images
from loopline.key_ranges import judge_range
from loopline.settings import Settings
from tasks.caching import step
from tasks.places import store
from tasks.spreading import spread


@step()
def ingest(problem: str, source: str) -> RawDataset:
    """List the source, read what is new, accept or quarantine it."""
    with spread(take_range) as ranges:
        return take_images(store(), problem, source, spread=ranges, range_count=Settings().scale.range_count)


@step()
def take_range(part: KeyRange) -> Artifact:
    """Accept or quarantine what lies in one range of the source's keys; return what was found."""
    return judge_range(store(), part)
