"""An MLServer runtime around the package, as its documentation has a custom one; two parallel workers."""

import os
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from loopline.serving import Predictor


class Reader(MLModel):  # type: ignore[misc]
    """Reads one picture a request."""

    async def load(self) -> bool:
        """Open the package."""
        self.predictor = Predictor.open(Path(os.environ["PACKAGE"]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Read it."""
        (picture,) = self.decode(payload.inputs[0])
        (answer,) = self.predictor.read_images([picture])
        said = StringCodec.encode_output("text", [answer.text])
        return InferenceResponse(model_name=self.name, outputs=[said])
