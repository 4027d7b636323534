"""A model released to Nuclio: a dashboard's stand-in, functions in Nuclio's real Python wrapper, a real registry."""

from dataclasses import replace

import pytest
from nuclio_dashboard import dashboard
from nuclio_processor import WRAPPER
from systems import System, name

from loopline.client import Client
from loopline.keys import hash_of

KEY = "loopline-test-of-nuclio"


@pytest.mark.skipif(not WRAPPER, reason="NUCLIO_PYTHON_WRAPPER_PATH does not say where Nuclio's wrapper lies")
def test_a_model_is_tried_at_nuclio_and_answers_there(system: System) -> None:
    model = system.build("epochs=8")
    with dashboard(runs=True) as board:
        settings = {
            "LOOPLINE_NUCLIO__URL": board.url,
            "LOOPLINE_NUCLIO__KEY": KEY,
            "LOOPLINE_NUCLIO__HOST": "read.example.com",
            "LOOPLINE_SERVICE__KEY_HASHES": hash_of(KEY),
        }
        done = replace(system.laptop, settings=settings).call("release", model.version, "--target", "nuclio")
        assert done.code == 0, done.log
        assert f"{model.version} answers" in done.out and "known_lines" in done.out
        address = board.functions[board.leads_to()]["status"]["internalInvocationUrls"][0]
        with Client(f"http://{address}", KEY) as client:
            assert client.model().model == name(model)
        assert system.stages()["nuclio"] == model.version
