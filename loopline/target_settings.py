"""Settings of the places where models answer, other than the laptop."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class NuclioSettings(BaseModel):
    """A Nuclio: `release --target nuclio` deploys functions there."""

    model_config = ConfigDict(frozen=True)

    url: str | None = Field(None, description="Of its dashboard, such as http://nuclio-dashboard.nuclio:8070.")
    token: SecretStr | None = Field(None, description="That the dashboard asks for, if it does.")
    project: str = "default"
    namespace: str = "nuclio"
    host: str = Field("", description="By which users reach the gateway before the functions: an ingress's host.")
    gateway: str = Field("reader", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", description="The gateway's name.")
    key: SecretStr | None = Field(None, description="With which a release asks the function for known lines.")
    secret: str = Field(
        "", description="Of Kubernetes: its entries are the function's environment too, such as keys of the store."
    )
    registry: str = Field("", description="Of images, where Nuclio pushes what it builds; empty: the dashboard's own.")
    build_seconds: float = Field(900, gt=0, description="Until a function must be ready; most of it is its image.")


class KubeflowSettings(BaseModel):
    """A Kubeflow: `loopline kubeflow` brings pipelines and training jobs there."""

    model_config = ConfigDict(frozen=True)

    python: Path | None = Field(None, description="Where kfp is; unset: LOOPLINE_HOME/kubeflow/bin/python.")
    url: str | None = Field(None, description="Of the pipelines' API, such as https://kubeflow.example.com/pipeline.")
    token: SecretStr | None = Field(None, description="With which it is asked.")
    namespace: str = "kubeflow"
    experiment: str = "loopline"
    cpu_image: str = Field("", description="Of steps that need no GPU: registry/loopline-cpu:RELEASE.")
    gpu_image: str = Field("", description="Of steps that want a GPU.")
    gpu_count: int = Field(1, ge=1, description="That a step of learning asks for.")
    gpu_memory: str = Field("16G", description="Limit of a step of learning.")
    secret: str = Field("", description="Of Kubernetes, with an entry for each secret among these settings.")
    retries: int = Field(3, ge=0, description="Of a step that fails, as on a machine that is taken away.")
