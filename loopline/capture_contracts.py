"""What passes between tasks about what the service's users sent."""

from pydantic import Field

from loopline.contracts import Artifact, Contract, aside


class Captures(Contract):
    """The captured pictures that may become tasks of a label project, and why the others may not."""

    problem: str
    manifest: Artifact = Field(description="One row a picture, as Parquet; without a word that its user wrote.")
    image_count: int = Field(description="Pictures that no project, source or dataset version holds yet.")
    known_count: int = aside(description="Pictures that one of these holds.")
    repeated_count: int = aside(description="The same picture again, or nearly the same.")
    over_limit: dict[str, int] = aside(description="Pictures beyond the limit of a key, by the key's short hash.")
    unusable: dict[str, int] = aside(description="Captures that can't be used, by the reason.")
    unread_count: int = aside(description="Captures that were left unread, as newer ones are enough.")


class Swept(Contract):
    """What housekeeping deleted of what the service's users sent."""

    problem: str
    capture_count: int = Field(description="Answers: asked to be forgotten, or over their days.")
    task_count: int = Field(description="Label tasks.")
    snapshot_count: int = Field(description="Copies of a label project that held such a task.")
    image_count: int = Field(description="Images that nothing else needed.")
    held: dict[str, tuple[str, ...]] = Field(description="Dataset versions that keep an image, by prediction id.")
