"""Settings of the places where models answer, other than the laptop."""

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
