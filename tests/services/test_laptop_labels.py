"""Label Studio as a service of the laptop: a real server, asked, refused, ended and started again."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from laptop_processes import ELSEWHERE, LOOPLINE, environment, listening_addresses, processes_of
from pydantic import SecretStr

from loopline import local
from loopline.errors import AccessError, ConfigError
from loopline.laptop_addresses import LaptopAddresses
from loopline.services import laptop_services
from loopline.settings import LabelStudioSettings, LaptopSettings, Settings, StoreSettings

CONFIG = '<View><Text name="line" value="$line"/><TextArea name="text" toName="line"/></View>'


@contextmanager
def signed_in(settings: Settings) -> Iterator[httpx.Client]:
    """Give a client that carries an access token, got with the token that the settings hold."""
    server = settings.resolved_label_studio()
    assert server.api_key is not None
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        answer = client.post("/api/token/refresh", json={"refresh": server.api_key.get_secret_value()})
        client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access']}"
        yield client


def user_of(settings: Settings) -> str:
    with signed_in(settings) as client:
        return str(client.get("/api/current-user/whoami").raise_for_status().json()["email"])


def secrets_of(settings: Settings) -> list[str]:
    addresses = LaptopAddresses.read(settings.folder)
    secrets = [addresses.store_secret_key, addresses.label_studio_password, addresses.label_studio_token]
    return [secret.get_secret_value() for secret in secrets]


def rewrite(settings: Settings, **changes: object) -> LaptopAddresses:
    """Change what the last start wrote, and return what it was."""
    before = LaptopAddresses.read(settings.folder)
    LaptopAddresses.path(settings.folder).write_text(before.model_copy(update=changes).model_dump_json())
    return before


def test_kept_token_signs_in(label_studio: Settings) -> None:
    assert user_of(label_studio) == LaptopAddresses.read(label_studio.folder).label_studio_user


def test_nobody_can_sign_up(label_studio: Settings) -> None:
    with httpx.Client(base_url=label_studio.resolved_label_studio().url, timeout=60, trust_env=False) as client:
        client.get("/user/signup/")
        form = {"email": "a@example.com", "password": "a-password", "csrfmiddlewaretoken": client.cookies["csrftoken"]}

        answer = client.post("/user/signup/", data=form, headers={"Referer": str(client.base_url)})

    assert answer.status_code == httpx.codes.FORBIDDEN


def test_pages_of_other_sites_get_no_answer(label_studio: Settings) -> None:
    url = label_studio.resolved_label_studio().url
    rebound = httpx.get(f"{url}/health", headers={"Host": "evil.example.com"}, trust_env=False)
    foreign = httpx.get(f"{url}/api/version", headers={"Origin": "http://evil.example.com"}, trust_env=False)

    assert rebound.status_code == httpx.codes.BAD_REQUEST
    assert "access-control-allow-origin" not in foreign.headers


def test_thousand_tasks_are_imported_in_one_call(label_studio: Settings) -> None:
    tasks = [{"data": {"line": f"{number} {'x' * 5000}"}} for number in range(1000)]
    with signed_in(label_studio) as client:
        project = client.post("/api/projects/", json={"title": "many", "label_config": CONFIG}).json()["id"]
        answer = client.post(f"/api/projects/{project}/import", json=tasks, params={"return_task_ids": "true"})
        client.delete(f"/api/projects/{project}")

    assert len(answer.raise_for_status().json()["task_ids"]) == len(tasks)


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [
        ("the laptop's own store", httpx.codes.CREATED),
        ("http://10.0.0.1:9000", httpx.codes.FORBIDDEN),
        ("http://169.254.169.254", httpx.codes.FORBIDDEN),
    ],
)
def test_it_reaches_the_loopback_and_no_other_private_network(
    label_studio: Settings, endpoint: str, status: int
) -> None:
    store = label_studio.resolved_store()
    assert store.secret_key is not None
    with signed_in(label_studio) as client:
        project = client.post("/api/projects/", json={"title": "store", "label_config": CONFIG}).json()["id"]
        order = {
            "project": project,
            "bucket": store.bucket,
            "s3_endpoint": endpoint if endpoint.startswith("http") else store.endpoint,
            "region_name": store.region,
            "aws_access_key_id": store.access_key,
            "aws_secret_access_key": store.secret_key.get_secret_value(),
        }

        answer = client.post("/api/storages/s3/", json=order)

        client.delete(f"/api/projects/{project}")
    assert answer.status_code == status


@pytest.mark.parametrize("labels", [True, None])
def test_another_up_changes_nothing(label_studio: Settings, labels: bool | None) -> None:
    processes, addresses = processes_of(label_studio.folder), LaptopAddresses.read(label_studio.folder)

    again = local.up(label_studio, labels=labels)

    assert processes_of(label_studio.folder) == processes
    assert set(processes) == {"supervisor", "store", "label-studio"}
    assert LaptopAddresses.read(label_studio.folder) == addresses
    assert [one.state for one in again] == ["running", "elsewhere", "running"]


def test_nothing_listens_beyond_loopback(label_studio: Settings) -> None:
    assert listening_addresses(label_studio.folder) == ["127.0.0.1", "127.0.0.1"]


def test_secrets_stand_in_no_configuration_command_line_or_log(label_studio: Settings) -> None:
    configuration = (label_studio.folder / "run" / "supervisord.conf").read_text()
    commands = [" ".join(process.cmdline()) for process in processes_of(label_studio.folder).values()]
    logs = [path.read_text() for path in local.log_files(label_studio)]
    texts = [configuration, *commands, *logs]

    assert len(logs) == 3
    assert not [secret for secret in secrets_of(label_studio) for text in texts if secret in text]


def test_secrets_and_data_are_the_owners_alone(label_studio: Settings) -> None:
    data = label_studio.folder / "label-studio"

    assert LaptopAddresses.path(label_studio.folder).stat().st_mode & 0o077 == 0
    assert not [path for path in [data, *data.rglob("*")] if path.stat().st_mode & 0o077]


def test_open_says_where_the_password_is_and_not_what(label_studio: Settings) -> None:
    said = subprocess.run(
        [LOOPLINE, "labels", "open"], env=environment(label_studio), check=True, capture_output=True, text=True
    ).stdout

    assert label_studio.resolved_label_studio().url in said
    assert LaptopAddresses.read(label_studio.folder).label_studio_user in said
    assert str(LaptopAddresses.path(label_studio.folder)) in said
    assert not [secret for secret in secrets_of(label_studio) if secret in said]


def test_up_killed_before_it_wrote_the_token_is_repaired_by_the_next(label_studio: Settings) -> None:
    lost = rewrite(label_studio, label_studio_token=SecretStr("")).label_studio_token

    local.up(label_studio)

    assert LaptopAddresses.read(label_studio.folder).label_studio_token != lost
    assert user_of(label_studio)


def test_password_of_other_data_is_refused_with_the_remedy(label_studio: Settings) -> None:
    before = rewrite(label_studio, label_studio_token=SecretStr(""), label_studio_password=SecretStr("another"))

    with pytest.raises(AccessError, match=r"made with another password; bring back the addresses\.json"):
        local.up(label_studio)

    LaptopAddresses.path(label_studio.folder).write_text(before.model_dump_json())
    local.up(label_studio)
    assert user_of(label_studio)


def test_no_labels_ends_it_and_labels_brings_it_back_as_it_was(label_studio: Settings) -> None:
    before = LaptopAddresses.read(label_studio.folder)

    without = local.up(label_studio, labels=False)
    still_without = local.up(label_studio)

    assert [one.name for one in without] == [one.name for one in still_without] == ["store", "prefect"]
    assert set(processes_of(label_studio.folder)) == {"supervisor", "store"}
    with pytest.raises(ConfigError, match="run `loopline up --labels`"):
        label_studio.resolved_label_studio()

    local.up(label_studio, labels=True)

    assert LaptopAddresses.read(label_studio.folder) == before
    assert user_of(label_studio)


def test_server_that_was_never_started_is_missed_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run `loopline up --labels`"):
        Settings(home=tmp_path).resolved_label_studio()


def test_own_server_is_taken_as_it_is_and_not_started(tmp_path: Path) -> None:
    own = LabelStudioSettings(url="https://labels.example.com", api_key=SecretStr("key"))
    elsewhere = StoreSettings(endpoint="https://s3.example.com")
    settings = Settings(home=tmp_path, label_studio=own, store=elsewhere, prefect=ELSEWHERE)

    services = local.up(settings, labels=True)

    assert [(one.name, one.state) for one in services][-1] == ("label-studio", "elsewhere")
    assert settings.resolved_label_studio() == own
    assert not processes_of(settings.folder)


def test_addresses_of_before_can_still_be_read(tmp_path: Path) -> None:
    old = {
        "store_url": "http://127.0.0.1:4300",
        "store_access_key": "key",
        "store_secret_key": "secret",
        "prefect_url": "http://127.0.0.1:4200/api",
    }
    LaptopAddresses.path(tmp_path).write_text(json.dumps(old))

    assert not LaptopAddresses.read(tmp_path).labels


def test_another_environment_is_another_service_so_that_up_starts_it_anew(tmp_path: Path) -> None:
    addresses = LaptopAddresses(
        store_url="http://127.0.0.1:4300",
        store_access_key="key",
        store_secret_key=SecretStr("secret"),
        prefect_url=ELSEWHERE.api_url,
        labels=True,
        label_studio_url="http://127.0.0.1:8080",
    )
    one, other = (
        laptop_services(Settings(home=tmp_path, laptop=LaptopSettings(label_studio_venv=venv)), addresses)
        for venv in (tmp_path / "one", tmp_path / "other")
    )

    assert one[:-1] == other[:-1]
    assert one[-1] != other[-1]


def test_environment_without_label_studio_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, laptop=LaptopSettings(label_studio_venv=tmp_path / "none"), prefect=ELSEWHERE)

    with pytest.raises(ConfigError, match="LOOPLINE_LAPTOP__LABEL_STUDIO_VENV"):
        local.up(settings, labels=True)

    assert not processes_of(settings.folder)
