"""What to do with an announcement before anything else: read the registry, which alone knows what is so.

Events come late, twice, in another order, and from anybody who may write to the server.
"""

from collections.abc import Sequence

from loopline.contracts import ModelReady
from loopline.errors import DataError
from loopline.ledger import RegisteredModel


def confirmed(
    models: Sequence[RegisteredModel], problem: str, *, version: str | None = None, package_sha256: str | None = None
) -> ModelReady:
    """Return the model that was announced, as the registry's models are; the champion if no version is named.

    Raises DataError for a model that the registry does not have, or has with another package, that was held back, or
    that is not the champion any more: what came after it is announced too.
    """
    champion = next((model.judged for model in models if "champion" in model.stages), None)
    if version is None and champion is None:
        raise DataError(f"{problem} has no champion; `loopline run` builds one")
    found = next((one.judged for one in models if one.judged.version == version), None) if version else champion
    if found is None:
        raise DataError(f"the registry has no {problem} {version}")
    if package_sha256 and found.packaged.archive.sha256 != package_sha256:
        raise DataError(f"{problem} {version} is another package than {package_sha256[:12]}")
    if not isinstance(found, ModelReady):
        raise DataError(f"{problem} {version} was held back")
    if champion is None or champion.version != found.version:
        now = champion.version if champion else "none"
        raise DataError(f"{problem} {version} is not the champion; that is {now}")
    return found
