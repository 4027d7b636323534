"""deployments/kubernetes/ as kubectl renders it: what Kubernetes takes, and who may do what there."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from clouds import ROOT
from kubernetes_validate import ValidationError
from manifests import NAMES, OVERLAYS, Document, check, containers, found, pods, rendered

from loopline.deploying import POOLS
from loopline.settings import Settings

SECRET_WORDS = re.compile(r"(PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING|KEY_HASHES)$")


@pytest.fixture(scope="module", params=NAMES)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    return rendered(OVERLAYS / request.param)


@pytest.fixture(scope="module")
def whole() -> list[Document]:
    return rendered(OVERLAYS / "gpu")


def test_kubernetes_takes_every_document(documents: list[Document]) -> None:
    for document in documents:
        check(document)


def test_a_field_that_kubernetes_does_not_know_is_found(tmp_path: Path) -> None:
    shutil.copytree(OVERLAYS.parent, tmp_path / "kubernetes")
    place = tmp_path / "kubernetes" / "base" / "reader" / "reader.yaml"
    place.write_text(place.read_text().replace("readinessProbe:", "readynessProbe:"))
    broken = found(rendered(tmp_path / "kubernetes" / "overlays" / "example"), "Deployment", "loopline-reader")
    with pytest.raises(ValidationError, match="readynessProbe"):
        check(broken)


def test_a_value_that_kubernetes_does_not_take_is_found(whole: list[Document]) -> None:
    broken = copy.deepcopy(found(whole, "HorizontalPodAutoscaler", "loopline-reader"))
    broken["spec"]["minReplicas"] = "two"
    with pytest.raises(ValidationError, match="two"):
        check(broken)


def test_secrets_are_named_and_never_told(documents: list[Document]) -> None:
    assert "Secret" not in {one["kind"] for one in documents}
    for one in documents:
        told = [name for name in one.get("data", {}) if SECRET_WORDS.search(name)]
        assert one["kind"] != "ConfigMap" or not told
        assert not re.search(r"://[^/\s\"]*:[^/\s\"]*@", json.dumps(one))
    for container in (container for pod in pods(documents) for container in containers(pod)):
        for variable in container.get("env", []):
            assert "valueFrom" in variable or not SECRET_WORDS.search(variable["name"]), variable
        named = [one["secretRef"] for one in container.get("envFrom", []) if "secretRef" in one]
        named += [one["valueFrom"]["secretKeyRef"] for one in container["env"] if "secretKeyRef" in str(one)]
        assert named and {one["name"] for one in named} == {"loopline"}


def test_no_container_is_root_writes_to_its_image_or_is_without_bounds(documents: list[Document]) -> None:
    for pod in pods(documents):
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "emptyDir" in next(one for one in pod["volumes"] if one["name"] == "tmp")
        for container in containers(pod):
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_settings_are_ones_that_loopline_has(documents: list[Document]) -> None:
    names = set(re.findall(r"LOOPLINE_\w+", yaml.safe_dump([one for one in documents if "pools.json" not in str(one)])))
    assert names
    for name in names:
        section, _, field = name.removeprefix("LOOPLINE_").lower().partition("__")
        assert not field or field in type(getattr(Settings(_env_file=None), section)).model_fields, name


def test_the_service_is_asked_whether_it_lives_and_speaks_to_nobody(documents: list[Document]) -> None:
    reader = found(documents, "Deployment", "loopline-reader")
    pod = reader["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 3000}]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert pod["automountServiceAccountToken"] is False and "replicas" not in reader["spec"]
    labels = reader["spec"]["template"]["metadata"]["labels"].items()
    for one in (
        found(documents, kind, "loopline-reader") for kind in ("Service", "NetworkPolicy", "PodDisruptionBudget")
    ):
        chosen = one["spec"].get("podSelector") or one["spec"]["selector"]
        assert chosen.get("matchLabels", chosen).items() <= labels
    network = found(documents, "NetworkPolicy", "loopline-reader")["spec"]
    assert (network["policyTypes"], network["egress"]) == (["Ingress", "Egress"], [])


def test_a_worker_may_have_jobs_and_see_what_becomes_of_them_and_nothing_else(whole: list[Document]) -> None:
    rules = found(whole, "Role", "loopline-worker")["rules"]
    assert {(*rule["apiGroups"], *rule["resources"]): set(rule["verbs"]) for rule in rules} == {
        ("batch", "jobs"): {"create", "get", "list", "watch", "delete"},
        ("", "pods"): {"get", "list", "watch"},
        ("", "pods/log"): {"get"},
        ("", "events"): {"create"},
    }
    assert not [one for one in whole if one["kind"].startswith("ClusterRole")]
    tokens = {pod["serviceAccountName"] for pod in pods(whole) if pod["automountServiceAccountToken"]}
    assert tokens == {"loopline-worker"}


def test_each_pool_has_a_worker_that_brings_it_to_prefect(whole: list[Document]) -> None:
    (named,) = [one["data"]["pools.json"] for one in whole if "pools.json" in one.get("data", {})]
    for pool in POOLS.validate_json(named):
        worker = found(whole, "Deployment", f"{pool.name}-worker")["spec"]["template"]
        assert worker["metadata"]["labels"]["app.kubernetes.io/instance"] == pool.name
        assert worker["spec"]["initContainers"][0]["command"][:3] == ["loopline", "deploy", "--pools"]
        account = pool.base_job_template["variables"]["properties"]["service_account_name"]["default"]
        assert found(whole, "ServiceAccount", account)["automountServiceAccountToken"] is False


def test_house_is_kept_by_a_worker_or_by_a_cron_job_and_never_by_both() -> None:
    for name in NAMES:
        documents = rendered(OVERLAYS / name)
        workers = [
            one for one in documents if one["metadata"]["name"].endswith("-worker") and one["kind"] == "Deployment"
        ]
        assert bool(workers) != bool([one for one in documents if one["kind"] == "CronJob"])


def test_the_cron_job_comes_when_the_deployment_would() -> None:
    job = found(rendered(OVERLAYS / "service"), "CronJob", "loopline-housekeeping")
    (deployment,) = [
        one
        for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
        if one["name"] == "housekeeping"
    ]
    assert job["spec"]["schedule"] == deployment["schedules"][0]["cron"]
