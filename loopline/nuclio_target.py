"""Nuclio as a place where models answer: a function for each model, and a gateway that leads to one of them.

What was deployed and is neither in service nor ready is the candidate. Where the gateway leads is all that changes when
a model is promoted or taken back.
"""

from typing import Any

from loopline.client import Client
from loopline.clients.nuclio import Dashboard, Document
from loopline.clients.store import Store
from loopline.contracts import PackagedModel
from loopline.errors import ConfigError
from loopline.functions import TAG, archived, function, function_files, function_name
from loopline.settings import Settings

GATEWAY = "loopline/gateway"  # label of the functions that one gateway leads to, in turn
READY = "loopline/ready"  # annotation of the gateway: the function that answered before
UPLOADS = "tmp/functions"  # where Nuclio fetches code, once
SIGNED_SECONDS = 3600  # for as long as it may


class NuclioTarget:
    """The functions of a Nuclio project behind one gateway."""

    name = "nuclio"

    def __init__(self, settings: Settings) -> None:
        self._settings, self._dashboard = settings, Dashboard(settings.nuclio)

    def standing(self) -> str | None:
        """Return the tag of what answers; None before the first release."""
        return self._tag(self._live())

    def ready(self) -> str | None:
        """Return the tag of what answered before and still stands."""
        return self._tag(self._kept())

    def deploy(self, packaged: PackagedModel) -> None:
        """Have a function built beside the one that answers, and wait until it could; FinalError says why it can't."""
        self._delete_others(function_name(packaged))
        self._dashboard.deploy(self._described(packaged), seconds=self._settings.nuclio.build_seconds)

    def client(self, *, candidate: bool) -> Client:
        """Return what asks the candidate, or what answers now, and has nothing kept."""
        functions = self._functions()
        name = next(iter(self._candidates()), None) if candidate else self._live()
        if name is None or name not in functions:
            raise ConfigError("no such function stands at Nuclio; release the model again")
        status = functions[name]["status"]
        found = [*(status.get("externalInvocationUrls") or []), *(status.get("internalInvocationUrls") or [])]
        if not found:
            raise ConfigError(f"Nuclio's function {name} has no address; does its trigger http stand?")
        key = self._settings.nuclio.key
        return Client(f"http://{found[0]}", key.get_secret_value() if key else None, retries=2, capture=False)

    def promote(self, packaged: PackagedModel) -> None:
        """Let the gateway lead to the candidate, if it does not yet; what answered stands ready."""
        name, live = function_name(packaged), self._live()
        if live != name:
            if name not in self._functions():
                raise ConfigError(f"{packaged.bento_tag} does not stand at Nuclio; release it again")
            self._lead(to=name, ready=live)
        self._delete_others()

    def withdraw(self) -> None:
        """Let what answers go on alone."""
        self._delete_others()

    def roll_back(self) -> None:
        """Let what answered before answer again; ConfigError if nothing stands ready."""
        if (ready := self._kept()) is None:
            raise ConfigError("no version stands ready at Nuclio; release the one you want")
        self._lead(to=ready, ready=None)
        self._delete_others()

    def _described(self, packaged: PackagedModel) -> dict[str, Any]:
        store = Store(self._settings.resolved_store())
        files = function_files(store.read_artifact(packaged.archive), packaged, settings=self._settings)
        code = store.publish(archived(files), UPLOADS, suffix=".zip")
        described, nuclio = function(packaged, settings=self._settings), self._settings.nuclio
        labels = {"nuclio.io/project-name": nuclio.project, GATEWAY: nuclio.gateway}
        described["metadata"] |= {"namespace": nuclio.namespace, "labels": labels}
        address = store.signed_address(code.uri, seconds=SIGNED_SECONDS)
        described["spec"]["build"] |= {"codeEntryType": "archive", "path": address}
        return described

    def _functions(self) -> dict[str, Document]:
        ours = self._settings.nuclio.gateway
        return {
            name: one
            for name, one in self._dashboard.functions().items()
            if (one["metadata"].get("labels") or {}).get(GATEWAY) == ours
        }

    def _candidates(self) -> list[str]:
        kept = (self._live(), self._kept())
        return [name for name in self._functions() if name not in kept]

    def _delete_others(self, *but: str) -> None:
        for name in self._candidates():
            if name not in but:
                self._dashboard.delete(name)

    def _gateway(self) -> Document | None:
        return self._dashboard.gateway(self._settings.nuclio.gateway)

    def _live(self) -> str | None:
        gateway = self._gateway()
        return gateway["spec"]["upstreams"][0]["nucliofunction"]["name"] if gateway else None

    def _kept(self) -> str | None:
        gateway = self._gateway()
        return (gateway["metadata"].get("annotations") or {}).get(READY) if gateway else None

    def _tag(self, name: str | None) -> str | None:
        found = self._functions().get(name or "")
        return (found["metadata"].get("annotations") or {}).get(TAG) if found else None

    def _lead(self, *, to: str, ready: str | None) -> None:
        nuclio, there = self._settings.nuclio, self._gateway()
        if not nuclio.host:
            raise ConfigError("a gateway before Nuclio's functions needs a host; set LOOPLINE_NUCLIO__HOST")
        gateway = {
            "metadata": {
                "name": nuclio.gateway,
                "namespace": nuclio.namespace,
                "labels": {"nuclio.io/project-name": nuclio.project},
                "annotations": {READY: ready} if ready else {},
            },
            "spec": {
                "name": nuclio.gateway,
                "host": nuclio.host,
                "path": "/",
                "description": "Loopline's reader",
                "authenticationMode": "none",  # the function itself asks for a key
                "upstreams": [{"kind": "nucliofunction", "nucliofunction": {"name": to}}],
            },
        }
        self._dashboard.put_gateway(gateway, new=there is None)
