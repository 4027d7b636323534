"""What networks, servers and kills do to labels on their way: nothing is lost or doubled, and the next run goes on."""

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from faults import Fault, FaultyServer, faulty
from projects import ANN, PROBLEM, Bench, quality_result, text_result
from pydantic import SecretStr

from loopline.clients import label_studio as client_module
from loopline.clients.label_studio_token import personal_token
from loopline.errors import AccessError, DataError, UnreachableError
from loopline.opinions import hear
from loopline.settings import Settings

KILLED = -9
PASSWORD = "correct horse battery"


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    return Bench(label_studio)


@pytest.fixture
def server(bench: Bench) -> Iterator[FaultyServer]:
    with faulty(bench.access.url) as found:
        yield found


def killed_at(server: FaultyServer, method: str, path: str, work: Callable[..., Any], *arguments: Any) -> int:
    """Run work in a process of its own and kill it while its request is on the way; return its exit code.

    The server gets the request all the same.
    """
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    server.will(method, path, "killed", before=process.kill)
    process.start()
    process.join()
    return int(process.exitcode or 0)


def test_killed_between_snapshot_and_parse_the_next_run_parses_what_is_there(
    bench: Bench, server: FaultyServer
) -> None:
    bench.offer("a", "b")
    bench.say("a", "one")
    assert killed_at(server, "GET", "/api/users", Bench.take, bench.through(server.url)) == KILLED
    assert any("/export" in request for request in server.seen)
    server.seen.clear()
    assert bench.through(server.url).told() == {"a": "one"}
    assert not any("/export" in request for request in server.seen)


def test_killed_between_offer_and_answer_the_next_run_offers_what_is_missing(
    bench: Bench, server: FaultyServer
) -> None:
    bench.put("a", "b")
    assert killed_at(server, "POST", "/import", Bench.offer, bench.through(server.url)) == KILLED
    bench.offer("c")
    assert bench.tasks().keys() == {"a", "b", "c"}
    bench.say("a", "one")
    assert bench.told() == {"a": "one"}


def test_killed_while_a_project_is_made_the_next_run_finishes_it(bench: Bench, server: FaultyServer) -> None:
    bench.put("a")
    assert killed_at(server, "POST", "/dm/views", Bench.offer, bench.through(server.url)) == KILLED
    bench.offer()
    views = bench.sdk.views.list(project=bench.project.id)
    assert [view.data["title"] for view in views] == ["Most useful first", "Please check"]  # type: ignore[index]
    assert len(bench.sdk.import_storage.s3.list(project=bench.project.id)) == 1


def test_a_slow_server_is_waited_for(bench: Bench, server: FaultyServer) -> None:
    server.will("GET", "/api/projects", "slow")
    server.will("POST", "/import", "slow")
    assert bench.through(server.url).offer("a").offered_count == 1


def test_a_server_that_never_answers_is_told(
    bench: Bench, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.offer("a")
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", 1)
    server.will("GET", "/export", "silent")
    with pytest.raises(UnreachableError, match=r"did not answer for .* \(ReadTimeout\)"):
        bench.through(server.url).mirror()
    assert len(bench.mirror()) == 1


def test_a_server_that_is_busy_while_tasks_are_written_gets_each_once(bench: Bench, server: FaultyServer) -> None:
    server.will("POST", "/import", "busy", status=503)
    with pytest.raises(UnreachableError, match="answered 503 for project"):
        bench.through(server.url).offer("a", "b")
    assert bench.offer().offered_count == 2
    assert bench.tasks().keys() == {"a", "b"}


@pytest.fixture
def paged(bench: Bench, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A project of three pages, through the faulty server, of which one answer is in a snapshot already."""
    bench.offer("a", "b", "c")
    bench.say("a", "one")
    bench.mirror()
    bench.say("b", "two")
    bench.say("c", "three")
    monkeypatch.setattr(client_module, "STAMP_PAGE", 1)
    return bench.through(server.url)


def in_mid_paging(server: FaultyServer, kind: str, **how: Any) -> Fault:
    """Let something happen to the second page; the first question is when anything was changed."""
    return server.will("GET", "/api/tasks", kind, skip=2, **how)


@pytest.mark.parametrize("kind", ["cut", "garbled", "lost"])
def test_a_page_damaged_in_mid_paging_costs_no_label(paged: Bench, server: FaultyServer, kind: str) -> None:
    in_mid_paging(server, kind, times=3)
    with pytest.raises(UnreachableError):
        paged.told()
    server.faults.clear()
    assert paged.told() == {"a": "one", "b": "two", "c": "three"}


def test_a_token_that_runs_out_in_mid_paging_is_renewed(paged: Bench, server: FaultyServer) -> None:
    in_mid_paging(server, "expired", status=401)
    assert paged.told() == {"a": "one", "b": "two", "c": "three"}
    assert server.seen.count("POST /api/token/refresh/") > 1


def test_a_project_deleted_in_mid_paging_is_told(paged: Bench, server: FaultyServer) -> None:
    project = paged.project.id
    in_mid_paging(server, "deleted", before=lambda: paged.sdk.projects.delete(id=project))
    with pytest.raises(DataError, match="it was deleted there"):
        paged.told()


def test_a_token_revoked_in_mid_paging_is_told_and_not_shown(
    bench: Bench, paged: Bench, server: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    token = someone_elses_token(bench)
    other = paged.signed_in_with(token)
    assert other.told() == {"a": "one", "b": "two", "c": "three"}
    bench.say("a", "won")
    in_mid_paging(server, "revoked", status=401, before=lambda: revoke(bench, token))
    with pytest.raises(AccessError, match=r"refuses the token .* LOOPLINE_LABEL_STUDIO__API_KEY") as refused:
        other.told()
    with pytest.raises(AccessError, match="refuses the token"):
        other.told()
    assert token.get_secret_value() not in caplog.text + str(refused.value)
    assert paged.told()["a"] == "won"


def someone_elses_token(bench: Bench) -> SecretStr:
    """Sign up a second person by the organisation's link; return their access token."""
    link = bench.sdk.organizations.reset_token().invite_url
    address = f"{bench.title.replace(' ', '-')}@example.com"
    with httpx.Client(base_url=bench.access.url, timeout=60, trust_env=False) as client:
        client.get(str(link))
        form = {"email": address, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post(str(link), data=form, headers={"Referer": bench.access.url}).is_redirect
    return personal_token(bench.access.url, user=address, password=SecretStr(PASSWORD), known=SecretStr(""))


def revoke(bench: Bench, token: SecretStr) -> None:
    bench.sdk.tokens.blacklist(refresh=token.get_secret_value())


def test_an_interface_changed_by_hand_costs_no_label_but_those_given_with_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.offer("a", "b", "c")
    bench.say("a", "one")
    renamed = PROBLEM.label_config.replace('"quality"', '"verdict"').replace('"transcription"', '"typed"')
    bench.sdk.projects.update(id=bench.project.id, label_config=renamed)
    verdict = quality_result("Bad")
    number = bench.say("b", [{**verdict[0], "from_name": "verdict"}])
    bench.say("c", text_result("three", field_name="typed"))

    assert bench.offer("d").offered_count == 1
    assert "keeps an interface that was made by hand until the answers that need it are deleted" in caplog.text
    assert bench.told() == {"a": "one", "b": "unknown field: verdict", "c": "unknown field: typed"}

    bench.sdk.annotations.delete(id=number)
    bench.offer()
    assert bench.project.label_config == PROBLEM.label_config


def test_an_annotation_without_a_result_says_nothing() -> None:
    annotation = {"id": 1, "result": None, "completed_by": 1, "updated_at": "2026-03-04T12:00:00Z"}
    task = {"id": 1, "data": {"image_sha256": "a"}, "annotations": [annotation], "drafts": None}
    heard = hear([task, {"id": 2, "data": None, "annotations": None}], PROBLEM, people={1: ANN})
    assert [(refusal.annotator, refusal.reason) for refusal in heard.refusals] == [(ANN, "no text")]
    assert not heard.opinions
