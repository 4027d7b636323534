"""A plain FastAPI app around the package, as its documentation has a function that computes: `def`, in a thread."""

import os
from pathlib import Path

from fastapi import FastAPI, UploadFile

from loopline.serving import Predictor

app = FastAPI()
predictor = Predictor.open(Path(os.environ["PACKAGE"]))


@app.post("/read")
def read(image: UploadFile) -> dict[str, str | float]:
    """Read one picture."""
    (answer,) = predictor.read_images([image.file.read()])
    return {"text": answer.text, "confidence": answer.confidence}
