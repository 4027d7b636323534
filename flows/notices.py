"""What people are told of on a web address of theirs, such as a chat's: automations of the Prefect server."""

from datetime import timedelta
from typing import cast
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from pydantic import SecretStr

from tasks.mending import SILENCE_SECONDS, TAG

BLOCK = "loopline-notices"
TAGGED = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
SILENT = f"{TAG}: a silent run is dead"
OF_RUNS = {
    "a run failed": {"prefect.flow-run.Failed", "prefect.flow-run.TimedOut"},
    "a run crashed": {"prefect.flow-run.Crashed"},
    "a run is late": {"prefect.flow-run.Late"},
}
OF_MODELS = {
    "a model was held back": {"loopline.model.held_back"},
    "a model was rolled back": {"loopline.model.rolled_back"},
    "a model drifts": {"loopline.model.drifting"},
}


def give_notice(client: SyncPrefectClient, address: SecretStr | None) -> None:
    """Have an address told, by a POST of {"text": ...}, which chats understand; None: nobody is told."""
    for what in OF_RUNS | OF_MODELS:
        for old in client.read_automations_by_name(_name(what)):
            client.delete_automation(old.id)
    if address is None:
        return
    saved = Webhook(method="POST", url=address).save(BLOCK, overwrite=True)
    block = cast(UUID, saved)  # a coroutine only where an event loop runs
    for what, events in OF_RUNS.items():
        trigger = EventTrigger(expect=events, match_related=TAGGED, posture=Posture.Reactive, threshold=1)
        client.create_automation(_automation(what, trigger, block))
    for what, events in OF_MODELS.items():
        trigger = EventTrigger(expect=events, posture=Posture.Reactive, threshold=1)
        client.create_automation(_automation(what, trigger, block))


def end_silent_runs(client: SyncPrefectClient) -> None:
    """Have the server call a run crashed whose heartbeats end before it does; mend_runs finds those that had none."""
    for old in client.read_automations_by_name(SILENT):
        client.delete_automation(old.id)
    trigger = EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.*"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=TAGGED,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENCE_SECONDS),
    )
    action = ChangeFlowRunState(state=StateType.CRASHED, name=None, message=f"no heartbeat for {SILENCE_SECONDS} s")
    client.create_automation(AutomationCore(name=SILENT, trigger=trigger, actions=[action]))


def _automation(what: str, trigger: EventTrigger, block: UUID) -> AutomationCore:
    words = f"'Loopline: {what}: ' ~ event.resource.name ~ ' ' ~ (event.payload | tojson)"
    action = CallWebhook(block_document_id=block, payload=f'{{"text": {{{{ ({words}) | tojson }}}}}}')
    return AutomationCore(name=_name(what), trigger=trigger, actions=[action])


def _name(what: str) -> str:
    return f"{TAG}: {what}"
