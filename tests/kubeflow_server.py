"""Stands in for Kubeflow's servers: the pipelines' API (v2beta1) and Kubernetes' with the Trainer's, as clients ask.

From the SDKs' own sources; it answers what they need to go on, and writes down what it was asked.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RUNTIME = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {"numProcPerNode": "auto"}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [{"name": "node", "image": "torch"}]}}},
                        },
                    }
                ]
            }
        },
    },
}
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/apis/v2beta1/healthz"): {"multi_user": False},
    ("GET", "/apis/v2beta1/experiments"): {"experiments": [{"experiment_id": "e-1", "display_name": "lines"}]},
    ("POST", "/apis/v2beta1/runs"): {"run_id": "run-17", "display_name": "build-model"},
    ("GET", "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/torch-distributed"): RUNTIME,
    ("POST", "/apis/trainer.kubeflow.org/v1alpha1/namespaces/lines/trainjobs"): {},
}


@dataclass
class KubeflowStandIn:
    """What it was asked."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def posted(self) -> tuple[dict[str, str], Any]:
        ((_, _, headers, body),) = [one for one in self.asked if one[0] == "POST"]
        return headers, body

    def kubeconfig(self, folder: Path) -> Path:
        """Write what kubectl and the Trainer's client read."""
        cluster, user = {"name": "k", "cluster": {"server": self.url}}, {"name": "k", "user": {"token": "t"}}
        context = {"name": "k", "context": {"cluster": "k", "user": "k"}}
        document = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "k"}
        (folder / "kubeconfig").write_text(json.dumps(document))
        return folder / "kubeconfig"


@contextmanager
def kubeflow_server() -> Iterator[KubeflowStandIn]:
    stands = KubeflowStandIn()

    class Api(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.partition("?")[0]
            stands.asked.append((self.command, path, dict(self.headers), json.loads(body) if body else None))
            found = ANSWERS.get((self.command, path))
            data = json.dumps(found if found is not None else {"code": 404}).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stands.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stands
    finally:
        server.shutdown()
        server.server_close()
