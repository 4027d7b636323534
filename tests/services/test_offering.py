"""Images are offered to people in a real Label Studio: each once, whatever is lost on the way."""

from dataclasses import replace
from urllib.parse import urljoin

import httpx
import packages
import pytest
from faults import faulty
from projects import ANN, BEN, COY, PROBLEM, Bench, picture, text_result

from loopline.errors import AccessError, ConfigError, UnreachableError
from loopline.guessing import Guesser
from loopline.serving import Predictor
from loopline.settings import Settings


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    return Bench(label_studio)


def guesser(bench: Bench, version: str) -> Guesser:
    return Guesser(bench.store, PROBLEM, version=version, predictor=Predictor.open(packages.package()))


def guesses(bench: Bench) -> dict[str, list[tuple[str, str]]]:
    """The guesses that annotators see, as (model version, text), by the name of the image."""
    found = bench.sdk.tasks.list(project=bench.project.id, fields="all")
    return {
        bench.name(task.data): [
            (guess["model_version"], guess["result"][0]["value"]["text"][0]) for guess in task.dict()["predictions"]
        ]
        for task in found
    }


def test_images_offered_again_are_offered_once(bench: Bench) -> None:
    assert bench.offer("a", "b", "c").offered_count == 3
    assert bench.offer("c", "d").offered_count == 1
    assert bench.tasks().keys() == {"a", "b", "c", "d"}


def test_an_offer_whose_answer_was_lost_is_not_made_again(bench: Bench) -> None:
    bench.offer("a")
    with faulty(bench.access.url) as server:
        lossy = bench.through(server.url)
        server.will("POST", "/import", "lost")
        with pytest.raises(UnreachableError, match="did not answer for project"):
            lossy.offer("b", "c")
        assert lossy.offer().offered_count == 0
    assert bench.tasks().keys() == {"a", "b", "c"}


def test_a_second_task_for_an_image_is_taken_away_unless_someone_labelled_it(bench: Bench) -> None:
    bench.offer("a", "b")
    tasks = {task.id: task.data for task in bench.sdk.tasks.list(project=bench.project.id, fields="all")}
    bench.sdk.projects.import_tasks(id=bench.project.id, request=[{"data": data} for data in tasks.values()])
    found = bench.sdk.tasks.list(project=bench.project.id, fields="all")
    first, second = sorted(task.id for task in found if bench.name(task.data) == "b")
    bench.sdk.annotations.create(id=second, result=text_result("by hand"))
    bench.offer()
    assert bench.tasks()["a"] in tasks
    assert bench.tasks()["b"] == second != first


def test_annotators_see_the_image_and_the_guess_of_the_champion(bench: Bench) -> None:
    offered = bench.offer("a", guesser=guesser(bench, "v1.0.0"))
    assert (offered.guess_count, offered.champion) == (1, "v1.0.0")
    (((version, text),),) = guesses(bench).values()
    assert version == "v1.0.0" and text
    assert bench.project.model_version == "v1.0.0"

    task = bench.sdk.tasks.get(id=str(bench.tasks()["a"]))
    token = bench.sdk.tokens.refresh(refresh=bench.access.api_key.get_secret_value()).access  # type: ignore[union-attr]
    url = urljoin(bench.access.url, str(task.data["image"]))  # type: ignore[index]
    asked = httpx.get(url, headers={"Authorization": f"Bearer {token}"})
    assert asked.status_code == 303
    seen = httpx.get(asked.headers["location"])
    assert seen.content == picture("a")


@pytest.mark.parametrize(
    ("address", "kind", "reason"),
    [
        ("http://127.0.0.1:1", UnreachableError, "500"),
        ("http://10.0.0.1:9000", ConfigError, "reserved network address"),
    ],
)
def test_a_store_that_label_studio_can_not_reach_is_told_with_the_setting(
    bench: Bench, address: str, kind: type[Exception], reason: str
) -> None:
    told = rf"can't read bucket \w+ at {address} \(.*{reason}.*\); let LOOPLINE_LABEL_STUDIO__STORE_ENDPOINT be"
    with pytest.raises(kind, match=told):
        bench.showing_from(address).offer("a")
    assert bench.offer().offered_count == 1


def test_a_store_that_browsers_can_not_reach_is_told_and_costs_no_task(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with faulty(bench.settings.resolved_store().endpoint, keeps_host=True) as gateway:
        elsewhere = bench.showing_from(gateway.url)
        assert elsewhere.offer("a").offered_count == 1
        assert f"{gateway.url} has no CORS rule that lets pages of {bench.access.url} read it" in caplog.text
    assert elsewhere.offer("b").offered_count == 1
    assert f"may see no images, as {gateway.url} does not answer from here (ConnectError); check LOOP" in caplog.text
    assert "X-Amz-Signature" not in "".join(one.getMessage() for one in caplog.records if one.name.startswith("loop"))
    caplog.clear()
    assert bench.offer().offered_count == 0
    assert "may see no images" not in caplog.text
    assert bench.tasks().keys() == {"a", "b"}


def test_a_new_champion_guesses_again_where_nobody_has_begun(bench: Bench) -> None:
    bench.offer("a", "b", guesser=guesser(bench, "v1.0.0"))
    bench.say("a", "said")
    offered = bench.offer("c", guesser=guesser(bench, "v2.0.0"))
    assert (offered.offered_count, offered.guess_count) == (1, 2)
    assert {name: [version for version, _ in found] for name, found in guesses(bench).items()} == {
        "a": ["v1.0.0"],
        "b": ["v2.0.0"],
        "c": ["v2.0.0"],
    }
    assert bench.project.model_version == "v2.0.0"
    assert bench.offer(guesser=guesser(bench, "v2.0.0")).guess_count == 0


def test_the_most_useful_tasks_come_first_in_a_tab_of_their_own(bench: Bench) -> None:
    bench.offer(*"abcdefgh", guesser=guesser(bench, "v1.0.0"))
    tabs = {tab.data["title"]: tab.data for tab in bench.sdk.views.list(project=bench.project.id)}  # type: ignore[index]
    assert tabs.keys() >= {"Most useful first", "Please check"}
    assert tabs["Most useful first"]["ordering"] == ["-tasks:data.priority"]
    priorities = [task.data["priority"] for task in bench.sdk.tasks.list(project=bench.project.id)]
    assert len(set(priorities)) == 8 and max(priorities) == 1


def test_an_interface_changed_by_hand_is_put_right(bench: Bench) -> None:
    bench.offer("a")
    renamed = PROBLEM.label_config.replace("transcription", "typed")
    bench.sdk.projects.update(id=bench.project.id, label_config=renamed)
    bench.offer()
    assert bench.project.label_config == PROBLEM.label_config


def test_a_share_of_the_lines_is_offered_to_two_people(bench: Bench) -> None:
    bench.offer(*"abcdefghij", overlap_share=0.2)
    overlaps = [task.overlap for task in bench.sdk.tasks.list(project=bench.project.id, include=["id", "overlap"])]
    assert sorted(overlaps) == [1] * 8 + [2] * 2


@pytest.mark.parametrize(
    ("token", "kind", "sentence"),
    [
        ("", ConfigError, "there is no token for Label Studio"),
        ("nonsense", AccessError, "refuses the token"),
    ],
)
def test_a_token_that_is_no_use_is_told(bench: Bench, token: str, kind: type[Exception], sentence: str) -> None:
    access = bench.access.model_copy(update={"api_key": type(bench.access.api_key)(token) if token else None})
    stranger = replace(bench, settings=bench.settings.model_copy(update={"label_studio": access}))
    with pytest.raises(kind, match=sentence):
        stranger.offer("a")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_server_is_asked_again_and_then_told(bench: Bench, status: int) -> None:
    with faulty(bench.access.url) as server:
        busy = bench.through(server.url)
        server.will("GET", "/api/projects", "busy", status=status, times=2)
        assert busy.offer("a").offered_count == 1
        server.will("GET", "/api/projects", "busy", status=status, times=3)
        with pytest.raises(UnreachableError, match=f"answered {status} for"):
            busy.offer()


def test_a_server_that_is_down_is_told(bench: Bench) -> None:
    with pytest.raises(UnreachableError, match=r"did not answer for .* LOOPLINE_LABEL_STUDIO__URL"):
        bench.through("http://127.0.0.1:1").offer("a")


def test_annotators_who_disagree_are_joined_by_a_third_and_then_left_alone(bench: Bench) -> None:
    bench.offer("a", "b")
    bench.say("a", "one", who=ANN)
    bench.say("a", "won", who=BEN)
    assert bench.offer("c").check_count == 1
    task = bench.sdk.tasks.get(id=str(bench.tasks()["a"]))
    assert (task.data["check"], task.overlap) == ("annotators disagree", 3)  # type: ignore[index]
    bench.say("a", "won", who=COY)
    assert bench.offer().check_count == 0
    assert "check" not in bench.sdk.tasks.get(id=str(bench.tasks()["a"])).data  # type: ignore[operator]
