"""Label Studio: the one place that knows it.

Tasks are read by keyset (the next page begins after the last id seen), so that a page which shifts, or a run which is
killed, loses none. Only what can be repeated is retried here; a lost answer to anything else is for the caller, who
looks what is there and goes on. The SDK takes seconds to import: import this module inside functions.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from label_studio_sdk.client import LabelStudio as Sdk
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.request_options import RequestOptions

from loopline.clients.label_studio_errors import REMEDY, explained, store_explained
from loopline.clients.label_studio_filters import changed, where
from loopline.errors import ConfigError
from loopline.settings import LabelStudioSettings, StoreSettings

if TYPE_CHECKING:
    from label_studio_sdk.types.s3import_storage import S3ImportStorage

TIMEOUT_SECONDS = 60
READ_RETRIES = 2  # by the SDK, with back-off; what writes is not repeated blindly
STAMP_PAGE = 1000  # ids and times of so many tasks fit into one answer of 60 kB
EXPORT_PAGE = 500  # Django refuses more than 1,000 fields in one request
STORAGE_TITLE = "Loopline's store"
PRESIGNED_MINUTES = 60  # an image's address is made anew whenever a task is opened

_READ: RequestOptions = {"max_retries": READ_RETRIES}
_WRITE: RequestOptions = {"max_retries": 0}

T = TypeVar("T")


@dataclass(frozen=True)
class Project:
    """A project, as far as we care."""

    id: int
    title: str
    label_config: str
    made_at: datetime
    task_count: int
    model_version: str
    maximum_annotations: int
    overlap_percentage: int


@dataclass(frozen=True)
class Stamp:
    """When a task was last changed: by an annotation, edit, skip or deletion of one, or by us."""

    task: int
    updated_at: datetime


class LabelStudio:
    """A Label Studio server, by a user's personal access token. Safe to share between threads.

    Every method raises UnreachableError if the server doesn't answer as it should, AccessError if it refuses the
    token, and DataError if the project or task is gone.
    """

    def __init__(self, settings: LabelStudioSettings) -> None:
        self.url = settings.url.rstrip("/")
        self._token = settings.api_key.get_secret_value() if settings.api_key else ""
        if not self._token:
            raise ConfigError(f"there is no token for Label Studio at {self.url}; {REMEDY}")
        with explained(self.url, "its token"):
            self._sdk = self._signed_in()

    def find_project(self, title: str) -> Project | None:
        """Return the oldest project of exactly this title, or None."""
        with explained(self.url, f"project {title!r}"):
            alike: list[Any] = list(self._sdk.projects.list(title=title, request_options=_READ))
        found = [project.id for project in alike if project.title == title]
        return self.project(min(found)) if found else None

    def project(self, project: int) -> Project:
        """Return a project by its id."""
        with explained(self.url, f"project {project}"):
            found = self._sdk.projects.get(id=project, request_options=_READ)
        return Project(
            id=project,
            title=found.title or "",
            label_config=found.label_config or "",
            made_at=_time(found.created_at),
            task_count=found.task_number or 0,
            model_version=found.model_version or "",
            maximum_annotations=found.maximum_annotations or 1,
            overlap_percentage=100 if found.overlap_cohort_percentage is None else found.overlap_cohort_percentage,
        )

    def create_project(self, title: str, *, label_config: str) -> Project:
        """Create a project; ConfigError for a labelling interface that Label Studio can't use."""
        with explained(self.url, f"project {title!r}"):
            made: Any = self._sdk.projects.create(title=title, label_config=label_config, request_options=_WRITE)
        return self.project(made.id)

    def change_project(self, project: int, **fields: Any) -> None:
        """Set fields of a project, such as label_config, model_version or maximum_annotations."""
        with explained(self.url, f"project {project}"):
            self._sdk.projects.update(id=project, **fields, request_options=_WRITE)

    def shows_from(self, project: int, store: StoreSettings) -> bool:
        """Tell whether a project shows images from this store."""
        wanted = _storage(store)
        found = self._storage_of(project)
        return found is not None and all(getattr(found, name) == value for name, value in wanted.items())

    def show_from(self, project: int, store: StoreSettings) -> None:
        """Let annotators' browsers see what lies in a store: by addresses that Label Studio signs with its keys."""
        fields = _storage(store)
        if store.access_key and store.secret_key:
            fields["aws_access_key_id"] = store.access_key
            fields["aws_secret_access_key"] = store.secret_key.get_secret_value()
        known = self._storage_of(project)
        storages = self._sdk.import_storage.s3
        with explained(self.url, f"project {project}"), store_explained(self.url, store):
            if known is not None and known.id is not None:
                storages.update(id=known.id, project=project, **fields, request_options=_WRITE)
            else:
                storages.create(project=project, **fields, request_options=_WRITE)

    def latest(self, project: int) -> datetime | None:
        """Return when any task of the project was last changed, by the server's own clock; None without tasks."""
        newest = self._page(project, filters=[], ordering="-tasks:updated_at", page_size=1)
        return newest[0].updated_at if newest else None

    def stamps(
        self, project: int, *, after: datetime | None = None, until: datetime | None = None
    ) -> Iterator[list[Stamp]]:
        """Yield the tasks changed after one time and not after another, in the order of their ids."""
        window = [changed("greater", after)] if after else []
        window += [changed("less_or_equal", until)] if until else []
        last = 0
        while True:
            found = self._page(
                project,
                filters=[where("id", "greater", "Number", last), *window],
                ordering="tasks:id",
                page_size=STAMP_PAGE,
            )
            if found:
                yield found
            if len(found) < STAMP_PAGE:
                return
            last = found[-1].task

    def export(self, project: int, tasks: Sequence[int]) -> list[dict[str, Any]]:
        """Return tasks as Label Studio exports them, with annotations and drafts; those that are gone are left out."""
        return [task for start in range(0, len(tasks), EXPORT_PAGE) for task in self._export(project, tasks[start:])]

    def add_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Create tasks, each {data, predictions}. If the answer is lost, they may be there all the same."""
        with explained(self.url, f"project {project}"):
            self._sdk.projects.import_tasks(id=project, request=tasks, request_options=_WRITE)  # type: ignore[arg-type]

    def add_predictions(self, project: int, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Add predictions, each {task, result, score, model_version}."""
        with explained(self.url, f"project {project}"):
            send = self._sdk.projects.import_predictions
            send(id=project, request=predictions, request_options=_WRITE)  # type: ignore[arg-type]

    def drop_predictions(self, project: int, tasks: Sequence[int]) -> None:
        """Delete all predictions of tasks."""
        self._act("delete_tasks_predictions", project, tasks)

    def drop_tasks(self, project: int, tasks: Sequence[int]) -> None:
        """Delete tasks with everything that belongs to them."""
        self._act("delete_tasks", project, tasks)

    def change_task(self, task: int, **fields: Any) -> None:
        """Set fields of a task: data, or overlap, the number of people who are to label it."""
        with explained(self.url, f"task {task}"):
            self._sdk.tasks.update(id=str(task), **fields, request_options=_WRITE)

    def keep_tab(self, project: int, title: str, *, shown: Sequence[Mapping[str, Any]], ordering: str) -> None:
        """Create or update a tab of the project's data manager."""
        data: dict[str, Any] = {
            "title": title,
            "filters": {"conjunction": "and", "items": list(shown)},
            "ordering": [ordering],
        }
        with explained(self.url, f"tab {title!r} of project {project}"):
            tabs = self._sdk.views.list(project=project, request_options=_READ)
            ours = [tab for tab in tabs if isinstance(tab.data, dict) and tab.data.get("title") == title]
            if not ours:
                self._sdk.views.create(project=project, data=data, request_options=_WRITE)
            elif ours[0].data != data:
                self._sdk.views.update(id=str(ours[0].id), project=project, data=data, request_options=_WRITE)

    def people(self) -> dict[int, str]:
        """Return the users' e-mail addresses by id."""
        with explained(self.url, "its users"):
            return {user.id: user.email or str(user.id) for user in self._sdk.users.list(request_options=_READ)}

    def add_person(self, address: str) -> int:
        """Make a user of this e-mail address, without a password, who can be named as an annotator; return the id."""
        with explained(self.url, f"user {address}"):
            made = self._sdk.users.create(username=address, email=address, request_options=_WRITE)
        return int(made.id)

    def add_annotation(self, task: int, *, unique_id: str, **fields: Any) -> bool:
        """Add an annotation to a task; False, and nothing, if there is one of that unique id: so it may be repeated."""
        with explained(self.url, f"task {task}"):
            try:
                self._sdk.annotations.create(id=task, unique_id=unique_id, **fields, request_options=_READ)
            except ApiError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise
                return False
        return True

    def _storage_of(self, project: int) -> "S3ImportStorage | None":
        with explained(self.url, f"project {project}"):
            found = self._sdk.import_storage.s3.list(project=project, request_options=_READ)
        return next((storage for storage in found if storage.title == STORAGE_TITLE), None)

    def _page(
        self, project: int, *, filters: Sequence[Mapping[str, Any]], ordering: str, page_size: int
    ) -> list[Stamp]:
        query = {"filters": {"conjunction": "and", "items": list(filters)}, "ordering": [ordering]}
        asked: dict[str, Any] = {"query": json.dumps(query), "page_size": page_size, "include": ["id", "updated_at"]}
        with explained(self.url, f"project {project}"):
            found: Any = self._renewing(
                lambda sdk: sdk.tasks.list(project=project, page=1, resolve_uri=False, request_options=_READ, **asked)
            )
            return [Stamp(task.id, _time(task.updated_at)) for task in found.items or ()]

    def _export(self, project: int, tasks: Sequence[int]) -> list[dict[str, Any]]:
        wanted = list(tasks[:EXPORT_PAGE])
        options: RequestOptions = {**_READ, "additional_query_parameters": {"ids[]": wanted}}
        with explained(self.url, f"project {project}"):
            body = self._renewing(
                lambda sdk: b"".join(
                    sdk.projects.exports.download_sync(
                        id=project, export_type="JSON", download_all_tasks=True, request_options=options
                    )
                )
            )
            found: list[dict[str, Any]] = json.loads(body)
        return found

    def _signed_in(self) -> Sdk:
        return Sdk(base_url=self.url, api_key=self._token, timeout=TIMEOUT_SECONDS)  # type: ignore[no-untyped-call]

    def _renewing(self, read: Callable[[Sdk], T]) -> T:
        """Read, once more with a new access token if the server takes the last one no longer.

        It holds for five minutes, by the server's clock; the SDK renews it by ours.
        """
        try:
            return read(self._sdk)
        except ApiError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED:
                raise
            self._sdk = self._signed_in()
            return read(self._sdk)

    def _act(self, action: str, project: int, tasks: Sequence[int]) -> None:
        chosen: Any = {"all": False, "included": list(tasks)}
        with explained(self.url, f"project {project}"):
            self._sdk.actions.create(id=action, project=project, selected_items=chosen, request_options=_WRITE)


def _storage(store: StoreSettings) -> dict[str, Any]:
    return {
        "title": STORAGE_TITLE,
        "bucket": store.bucket,
        "prefix": f"{store.prefix}/blobs" if store.prefix else "blobs",
        "region_name": store.region,
        "s3endpoint": None if store.endpoint == "aws" else store.endpoint,
        "presign": True,
        "presign_ttl": PRESIGNED_MINUTES,
        "use_blob_urls": True,
    }


def _time(value: datetime | str | None) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
