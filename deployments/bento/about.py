"""What a package says of itself."""

import hashlib
import io
import json
import zipfile

from loopline.answers import Model
from loopline.errors import IntegrityError
from loopline.settings import ServiceSettings

NAME_DIGITS = 12  # of the digest, in a model's name


def about(package: bytes, settings: ServiceSettings) -> Model:
    """Return what `GET /model` answers; IntegrityError if the package does not tell."""
    sha256 = hashlib.sha256(package).hexdigest()
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            facts, lineage = json.loads(archive.read("model.json")), archive.read("lineage.json")
            card = archive.read("CARD.md").decode()
        report = json.loads(lineage)
        return Model(
            model=f"{facts['problem']}:{sha256[:NAME_DIGITS]}",
            problem=facts["problem"],
            package_sha256=sha256,
            dataset_digest=report["model"]["dataset"]["digest"],
            lineage_digest=hashlib.sha256(lineage).hexdigest(),
            metrics=report["metrics"],
            least_confidence=settings.least_confidence,
            characters="".join(facts["vocabulary"]),
            kept_days=settings.capture_days if settings.capture else None,
            card=card,
        )
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"this is no model package: {error}; fetch it from the registry again") from None
