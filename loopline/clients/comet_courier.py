"""The one place that knows Comet's client, in a process of its own that can be killed.

The client waits minutes for a server that does not answer, keeps threads alive after its end, prints a refused key,
and reports its own errors to its makers. So it runs apart: `python -m loopline.clients.comet_courier` reads an Errand,
one line of JSON. It follows the record as the run writes it until stdin says more or closes, answers with News, a line
of JSON each, and leaves at the first thing that Comet did not take.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from loopline.errors import LooplineError
from loopline.records import FactLine, FileLine, Line, MetricsLine, ParamsLine, parse_lines
from loopline.settings import CometSettings

POLL_SECONDS = 0.2  # between two looks at the record: nobody sees a point sooner
NO_ANSWER, REFUSED = "it did not answer", "it refused the key"
LAST_SECONDS = 90  # after the run's end, in case the run was killed and nobody ends this process

# The client takes its settings from the environment. Elsewhere it waits for minutes, thins out archives beyond 15 000
# points, writes archives of its own that its own upload then refuses, and sends its errors to its makers.
_CLIENT = {
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_ERROR_TRACKING_ENABLE": "false",
    "COMET_FALLBACK_STREAMER_FALLBACK_TO_OFFLINE_MIN_BACKEND_VERSION": "1000.0.0",
    "COMET_GET_OR_ADD_EXPERIMENT_RETRY_TOTAL": "2",
    "COMET_HTTP_SESSION_RETRY_BACKOFF_FACTOR": "1",
    "COMET_OFFLINE_SAMPLING_SIZE": str(10**9),
    "COMET_TIMEOUT_HTTP": "5",
    "COMET_TIMEOUT_API": "5",
}


class Errand(BaseModel):
    """What to bring where. `offline` is the folder for an archive of the record; None: to the server."""

    record: Path
    key: str
    name: str
    tags: tuple[str, ...]
    project: str
    workspace: str | None
    log_code: bool
    argv: tuple[str, ...] = Field(description="Of the run, not of this process.")
    offline: Path | None


class Upload(BaseModel):
    """An archive to replay."""

    archive: Path


class News(BaseModel):
    """What became of it: the experiment's address once it is known, or why it failed, or that all has arrived."""

    url: str | None = None
    failure: str | None = None
    done: bool = False


class Courier:
    """The process, as the run sees it: hears of its errand and of the run's end over stdin, reports over stdout."""

    def __init__(
        self, errand: Errand | Upload, *, settings: CometSettings, scratch: Path, hear: Callable[[News], None]
    ) -> None:
        self._hear, self._settled = hear, False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "loopline.clients.comet_courier"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the client prints a refused key
            env=_environment(settings, scratch),
            start_new_session=True,  # Ctrl-C ends the run; what it has reached is still delivered
            text=True,
        )
        self._say(errand.model_dump_json())
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def finish(self, seconds: float) -> bool | None:
        """Let it deliver what is left; tell whether all has arrived, None if it is still on its way."""
        self._say("the run has ended")
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._listener.join()
        return self._process.returncode == 0

    def give_up(self, reason: str) -> None:
        """End it where it stands, for a reason that is heard unless there was one before."""
        self._settle(News(failure=reason))
        self.kill()

    def kill(self) -> None:
        """End it without a word."""
        self._settled = True
        self._process.kill()
        self._listener.join()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._settle(News.model_validate_json(line))
        self._settle(News(failure="its client ended without a word"))

    def _settle(self, news: News) -> None:
        if not self._settled:
            self._settled = news.done or news.failure is not None
            self._hear(news)


def deliver(errand: Errand) -> None:
    """Bring a record to Comet, or into an archive, from its first line until the run ends."""
    import comet_ml
    from comet_ml import messages

    sys.argv = list(errand.argv)
    experiment: Any = comet_ml.start(
        workspace=errand.workspace,
        project_name=errand.project,
        experiment_key=errand.key,
        mode="get_or_create",
        online=errand.offline is None,
        experiment_config=comet_ml.ExperimentConfig(
            name=errand.name,
            tags=list(errand.tags),
            offline_directory=str(errand.offline) if errand.offline else None,
            **_logged(errand.log_code),
        ),
    )
    if not experiment.alive:
        raise LooplineError("the experiment could not be started")
    if errand.offline is None:
        _tell(News(url=experiment.url))
    if errand.log_code:
        experiment.log_code(folder=str(Path(__file__).parents[1]))
    for line in _followed(errand.record):
        messages.local_timestamp = _clock(line)  # type: ignore[attr-defined]  # points keep their time, however late
        if errand.offline:
            experiment.start_time = min(experiment.start_time, _clock(line)())
        _send(experiment, line, folder=errand.record.parent)
    experiment.end()


def upload(archive: Path) -> None:
    """Replay an archive through the client's own upload."""
    from comet_ml.offline import upload_single_offline_experiment

    key = os.environ["COMET_API_KEY"]
    if not upload_single_offline_experiment(str(archive), api_key=key, force_upload=False):
        raise LooplineError("the client did not upload it")


def _environment(settings: CometSettings, scratch: Path) -> dict[str, str]:
    """Return this process's environment with the client's settings, and without anybody's secrets but its key."""
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("COMET_", "LOOPLINE_"))}
    ours |= _CLIENT | {"TMPDIR": str(scratch), "COMET_API_KEY": key}
    if settings.url:
        ours["COMET_URL_OVERRIDE"] = settings.url.removesuffix("/").removesuffix("/clientlib") + "/clientlib/"
    if not settings.log_code:
        ours["LOGNAME"] = "loopline"  # the client names the user in its last message
    return ours


def _logged(everything: bool) -> dict[str, Any]:
    of_the_run = ("log_code", "log_git_metadata", "log_git_patch", "parse_args", "log_env_details")
    of_the_host = ("log_env_cpu", "log_env_gpu", "log_env_host", "log_env_network", "log_env_disk")
    never = ("log_graph", "auto_param_logging", "auto_metric_logging", "auto_output_logging", "auto_log_co2")
    return dict.fromkeys((*of_the_run, *of_the_host), everything) | dict.fromkeys(never, False)


def _followed(path: Path) -> Iterator[Line]:
    """Yield a record's lines as they are written, the last ones when the run has ended."""
    pending = b""
    with path.open("rb") as record:
        ended = False
        while not ended:
            ended = bool(select.select([sys.stdin], [], [], POLL_SECONDS)[0])
            pending += record.read()
            yield from parse_lines(pending, name=path.name)
            pending = pending[pending.rfind(b"\n") + 1 :]
    signal.alarm(LAST_SECONDS)


def _clock(line: Line) -> Callable[[], int]:
    return lambda: round(line.at * 1000)


def _send(experiment: Any, line: Line, *, folder: Path) -> None:
    match line:
        case ParamsLine():
            experiment.log_parameters(line.values, nested_support=False)
        case MetricsLine():
            experiment.log_metrics(line.values, step=line.step, epoch=line.epoch)
        case FileLine(what="image"):
            experiment.log_image(str(folder / line.path), name=line.name)
        case FileLine():
            experiment.log_asset(str(folder / line.path), file_name=line.name)
        case FactLine():
            experiment.log_other(line.name, line.value)


class _Alarm(logging.Handler):
    """Leaves at the first thing that the client could not do: it only prints such things, and goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        _leave(_reason(record.exc_info[1] if record.exc_info else None, record.getMessage()))


def _reason(error: BaseException | None, message: str) -> str:
    """Say in a few words what went wrong, without the key that the client likes to quote."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) or type(error).__name__ == "InvalidAPIKey" or " 401 " in message or " 403 " in message:
        return REFUSED
    if isinstance(error, OSError) and type(error).__module__.startswith("requests"):
        return NO_ANSWER
    text = (str(error) if error else message) or type(error).__name__
    return shorten(text.replace(os.environ.get("COMET_API_KEY") or "\0", "***"), 200).rstrip(".")


def _tell(news: News) -> None:
    print(news.model_dump_json(), flush=True)  # noqa: T201


def _leave(failure: str | None) -> None:
    """End now: the client's threads would go on for minutes."""
    _tell(News(failure=failure, done=failure is None))
    os._exit(failure is not None)


def main() -> None:
    """Run the errand on stdin; exit with 1 if it failed."""
    logging.getLogger("comet_ml").addHandler(_Alarm(logging.ERROR))
    question: TypeAdapter[Errand | Upload] = TypeAdapter(Errand | Upload)
    try:
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:  # leave the rest to select
            asked = question.validate_json(stdin.readline())
        deliver(asked) if isinstance(asked, Errand) else upload(asked.archive)
    except Exception as error:
        _leave(_reason(error, ""))
    _leave(None)


if __name__ == "__main__":
    main()
