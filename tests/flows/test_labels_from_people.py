"""Labels from people as whole runs: a real Prefect, a real Label Studio, and tokens that are seen nowhere."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from laptops import Laptop
from projects import BEN, Bench, picture, suspected

from loopline.contracts import DatasetVersion, Suspects
from loopline.local import prefect_environment
from loopline.orders import CheckPlan
from loopline.settings import Settings, StoreSettings

WRONG_TOKEN = "a-token-that-nobody-gave"
JWT = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}")
QUEUE = """
import json, sys
from prefect import flow
from loopline.contracts import Suspects
from loopline.orders import CheckPlan
from tasks.suspects import queue_suspects

@flow
def queue(suspects: Suspects, plan: CheckPlan) -> int:
    return queue_suspects(suspects, plan)

suspects, plan = json.load(sys.stdin)
print(queue(Suspects.model_validate(suspects), CheckPlan.model_validate(plan)))
"""


@dataclass
class Team:
    """A laptop whose labels come from a Label Studio of the team's own."""

    laptop: Laptop
    bench: Bench

    def call(self, *arguments: str, token: str = "") -> tuple[int, str]:
        wanted = self.access | ({"LOOPLINE_LABEL_STUDIO__API_KEY": token} if token else {})
        done = replace(self.laptop, settings=self.laptop.settings | wanted).call(*arguments)
        return done.code, done.out + done.log

    @property
    def access(self) -> dict[str, str]:
        access = self.bench.access
        assert access.api_key
        token = access.api_key.get_secret_value()
        return {"LOOPLINE_LABEL_STUDIO__URL": access.url, "LOOPLINE_LABEL_STUDIO__API_KEY": token}

    def queue(self, suspects: Suspects) -> int:
        """Run the step as the flow runs it; return how many tasks want another opinion."""
        environment = self.laptop.environment | prefect_environment(self.bench.settings) | self.access
        asked = json.dumps([suspects.model_dump(mode="json"), CheckPlan().model_dump(mode="json")])
        command = [sys.executable, "-c", QUEUE]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def please_check(self) -> set[str]:
        """What an annotator sees in that tab."""
        tabs = self.bench.sdk.views.list(project=self.bench.project.id)
        (tab,) = (tab for tab in tabs if tab.data["title"] == "Please check")  # type: ignore[index]
        return {self.bench.name(task.data) for task in self.bench.sdk.tasks.list(view=tab.id)}


ROOT = Path(__file__).parents[2]


@pytest.fixture
def team(laptop: Laptop, label_studio: Settings, tmp_path: Path) -> Team:
    bucket = f"team-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    access = label_studio.resolved_label_studio()
    settings = Settings(home=laptop.home, store=StoreSettings(bucket=bucket), label_studio=access)
    made = Team(laptop.apart(tmp_path, bucket=bucket), Bench(settings))
    made.bench.store.ensure_bucket()  # which the server else notices a second later
    return made


def test_labels_are_collected_by_whoever_has_the_token_which_is_seen_nowhere(team: Team) -> None:
    bench = team.bench
    bench.put("a", "b")
    collect = ("labels", "collect", "--source", bench.source, "--project", bench.title, "--enough", "1")

    refused, told = team.call(*collect, token=WRONG_TOKEN)
    assert refused == 1
    assert "refuses the token" in told.splitlines()[-1] and "LOOPLINE_LABEL_STUDIO__API_KEY" in told.splitlines()[-1]

    bench.offer()
    bench.say("a", "one")
    code, told = team.call(*collect)
    assert code == 0, told
    assert f"1 labels in '{bench.title}', 1 of them new or changed" in told

    token = team.access["LOOPLINE_LABEL_STUDIO__API_KEY"]
    written = [path.read_bytes() for path in team.laptop.home.rglob("*") if path.is_file()]
    found = [word for word in [told.encode(), *written] if has_token(word, (token, WRONG_TOKEN))]
    assert len(written) > 10 and not found


def has_token(word: bytes, tokens: Sequence[str]) -> bool:
    """Tell whether a token is in it, or the access token that one was exchanged for."""
    return any(token.encode() in word for token in tokens) or JWT.search(word) is not None


def test_suspects_stand_in_their_tab_once_and_leave_it_when_someone_has_looked(team: Team) -> None:
    bench = team.bench
    bench.offer("said", "clear")
    bench.say("said", "401")
    bench.put("filed")
    bench.put_labels({"filed": "402"})
    labeled = bench.take()
    dataset = DatasetVersion(
        problem="handwriting",
        manifest=labeled.manifest,
        shards=(),
        split_sizes={},
        vocabulary=(),
        name="dataset/handwriting/v1",
        git_revision="",
        labeled=labeled,
    )
    labels = {hashlib.sha256(picture(name)).hexdigest(): text for name, text in (("said", "401"), ("filed", "402"))}
    suspects = suspected(bench.store, dataset, labels=labels)
    assert team.please_check() == set()

    assert team.queue(suspects) == 2
    assert team.please_check() == {"said", "filed"}
    stamps = [stamp for page in bench.client.stamps(bench.project.id) for stamp in page]

    assert team.queue(suspects) == 2
    assert [stamp for page in bench.client.stamps(bench.project.id) for stamp in page] == stamps
    assert bench.tasks().keys() == {"said", "clear", "filed"}

    bench.say("filed", "4027")
    assert team.queue(suspects) == 1
    assert team.please_check() == {"said"}
    bench.say("said", "401", who=BEN)
    assert team.queue(suspects) == 0
    assert team.please_check() == set()
    assert bench.told() == {"said": "401", "filed": "4027"}
