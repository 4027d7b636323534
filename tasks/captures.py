"""What the service's users sent, for people to label."""

from loopline.capture_contracts import Captures
from loopline.captured_images import take_captures as take
from loopline.contracts import RawDataset
from loopline.orders import LabelPlan
from tasks.caching import step
from tasks.places import label_studio, registry, store


@step()
def take_captures(raw: RawDataset, plan: LabelPlan) -> Captures:
    """Find the captured pictures that neither the source, nor a dataset version, nor the plan's project holds yet."""
    datasets = registry().datasets(raw.problem)
    return take(store(), label_studio(), raw=raw, plan=plan, newest=datasets[-1] if datasets else None)
