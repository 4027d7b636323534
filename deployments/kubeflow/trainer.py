"""The step `train` as a Kubeflow training job: one process a GPU, on several machines, by torchrun.

Started by `loopline kubeflow train`, in the Python where the kubeflow SDK is: `python trainer.py submit|local`, with
what to do as JSON on standard input. The first process runs the step itself, and one rank; the others run a rank each.
"""

import json
import sys
from typing import Any

from kubeflow.trainer import CustomTrainer, KubernetesBackendConfig, LocalProcessBackendConfig, TrainerClient
from kubeflow.trainer.options import (
    ContainerPatch,
    JobSetSpecPatch,
    JobSetTemplatePatch,
    JobSpecPatch,
    JobTemplatePatch,
    PodSpecPatch,
    PodTemplatePatch,
    ReplicatedJobPatch,
    RuntimePatch,
    TrainingRuntimeSpecPatch,
)

RUNTIME = "torch-distributed"
MOST_SECONDS = 7 * 24 * 3600
DONE, FAILED = "Complete", "Failed"


def learn(job: dict[str, str]) -> None:
    """Become one process of the training run; torchrun has started it. Its source alone goes to the machines."""
    import os
    import subprocess
    import sys

    python = os.environ.get("LOOPLINE_PYTHON", sys.executable)
    nodes, devices = os.environ["GROUP_WORLD_SIZE"], os.environ["LOCAL_WORLD_SIZE"]
    environment = os.environ | {"LOOPLINE_TRAIN__NODES": nodes, "LOOPLINE_TRAIN__DEVICES": devices}
    if os.environ["RANK"] == "0":
        command, given = [python, "-m", "tasks.alone", "train"], job["given"]
    else:
        command, given = [python, "-m", "tasks.ranks"], ""
    done = subprocess.run(command, input=given, env=environment, stdout=subprocess.PIPE, text=True)
    if os.environ["RANK"] == "0" and done.returncode == 0:
        print("trained:", done.stdout, flush=True)
    sys.exit(done.returncode)


def submitted(wanted: dict[str, Any]) -> None:
    """Start a job on the cluster of the kubeconfig; prints its name."""
    client = TrainerClient(backend_config=KubernetesBackendConfig(namespace=wanted["namespace"]))
    resources = {"gpu": wanted["gpu_count"], "memory": wanted["gpu_memory"]}
    trainer = CustomTrainer(
        func=learn,
        func_args={"given": wanted["given"]},
        image=wanted["images"]["gpu"],
        num_nodes=wanted["nodes"],
        resources_per_node=resources,
        env=wanted["environment"],
    )
    options = [_with_secrets(wanted)] if wanted["secret_keys"] else []
    sys.stdout.write(client.train(runtime=RUNTIME, trainer=trainer, options=options))


def ran(wanted: dict[str, Any]) -> None:
    """Run a job here, in as many processes as wanted; prints what was trained. The SDK makes an environment for it."""
    client = TrainerClient(backend_config=LocalProcessBackendConfig())
    trainer = CustomTrainer(
        func=learn,
        func_args={"given": wanted["given"]},
        packages_to_install=["numpy"],  # without any it does not install torchrun either
        env=wanted["environment"] | {"PET_NPROC_PER_NODE": str(wanted["nodes"])},
    )
    name = client.train(runtime=RUNTIME, trainer=trainer)
    job = client.wait_for_job_status(name, status={DONE, FAILED}, timeout=MOST_SECONDS, polling_interval=1)
    lines = list(client.get_job_logs(name))
    found = [line.removeprefix("trained: ") for line in lines if line.startswith("trained: ")]
    if job.status != DONE or not found:
        sys.exit("\n".join(lines))
    sys.stdout.write(found[0])


def _with_secrets(wanted: dict[str, Any]) -> RuntimePatch:
    """Give each machine its secrets by reference."""
    env = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": wanted["secret"], "key": name}}}
        for name in wanted["secret_keys"]
    ]
    pod = PodTemplatePatch(spec=PodSpecPatch(containers=[ContainerPatch(name="node", env=env)]))
    job = JobTemplatePatch(spec=JobSpecPatch(template=pod))
    jobs = JobSetSpecPatch(replicated_jobs=[ReplicatedJobPatch(name="node", template=job)])
    return RuntimePatch(training_runtime_spec=TrainingRuntimeSpecPatch(template=JobSetTemplatePatch(spec=jobs)))


if __name__ == "__main__":
    commands = {"submit": submitted, "local": ran}
    commands[sys.argv[1]](json.load(sys.stdin))
