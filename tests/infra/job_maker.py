"""What the Kubernetes worker of Prefect does with a run, without its server: ask Kubernetes, at an address, for a job.

Takes the address as an argument and, as JSON on standard input, the work pool's template and the run's job variables.
"""

import asyncio
import json
import sys
import uuid

from kubernetes_asyncio.client import ApiClient, Configuration
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes import KubernetesWorker
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration


async def ask_for_job(address: str, template: dict[str, object], values: dict[str, object]) -> None:
    asked = await KubernetesWorkerJobConfiguration.from_template_and_values(template, values, client=get_client())
    asked.prepare_for_flow_run(FlowRun(flow_id=uuid.uuid4(), name="lucid-heron"))
    async with ApiClient(Configuration(host=address)) as kubernetes:
        await KubernetesWorker("loopline-gpu")._create_job(asked, kubernetes)


if __name__ == "__main__":
    told = json.load(sys.stdin)
    asyncio.run(ask_for_job(sys.argv[1], told["template"], told["values"]))
