"""A LitServe server around the package, as its documentation has one: a LitAPI, two processes on the CPU."""

import os
import sys
from pathlib import Path

import litserve
from fastapi import Request

from loopline.problems import Answer
from loopline.serving import Predictor


class ReaderAPI(litserve.LitAPI):  # type: ignore[misc]
    """Reads one picture a request."""

    def setup(self, device: str) -> None:
        """Open the package."""
        self.predictor = Predictor.open(Path(os.environ["PACKAGE"]))

    def decode_request(self, request: Request) -> bytes:
        """Take the picture out of the form."""
        picture: bytes = request["image"].file.read()  # what it hands over is the form
        return picture

    def predict(self, picture: bytes) -> Answer:
        """Read it."""
        return self.predictor.read_images([picture])[0]

    def encode_response(self, answer: Answer) -> dict[str, str | float]:
        """Say it."""
        return {"text": answer.text, "confidence": answer.confidence}


if __name__ == "__main__":
    server = litserve.LitServer(ReaderAPI(api_path="/read"), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
