"""What can be chosen about learning to read: bounds for the tuner, defaults that won (docs/lab.md)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from loopline.problems import Search


class Recipe(BaseModel):
    """The knobs of model, schedule and augmentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height_px: int = Field(32, ge=16, le=64, multiple_of=16, description="Lines are scaled to this height.")
    channels: Annotated[int, Search(16, 64)] = Field(
        32, ge=8, le=128, multiple_of=8, description="Width of the first stage; later ones double it."
    )
    blocks: int = Field(1, ge=1, le=4, description="Residual blocks in each stage.")
    hidden: Annotated[int, Search(64, 256)] = Field(
        128, ge=32, le=512, multiple_of=16, description="LSTM units in each direction."
    )
    layers: Annotated[int, Search(1, 3)] = Field(2, ge=1, le=4, description="LSTM layers.")
    dropout: Annotated[float, Search(0, 0.4)] = Field(0.1, ge=0, le=0.6)
    epochs: int = Field(10, ge=1, le=2000)
    batch_size: Annotated[int, Search(16, 64)] = Field(32, ge=1, le=512, description="Lines a step.")
    learning_rate: Annotated[float, Search(5e-4, 1e-2, log=True)] = Field(
        3e-3, ge=1e-5, le=3e-2, description="Peak of the one-cycle schedule."
    )
    weight_decay: Annotated[float, Search(1e-5, 0.1, log=True)] = Field(1e-3, ge=0, le=0.3)
    warm_up: float = Field(
        0.15, ge=0.01, le=0.5, description="Share of all steps in which the learning rate rises to its peak."
    )
    shortcut: float = Field(
        0.1, ge=0, le=1, description="Weight of the loss of the head without context (Retsinas et al. 2022)."
    )
    ema: float = Field(0.0, ge=0, lt=1, description="Decay of the running average of the weights; 0: no average.")
    augment: Annotated[float, Search(0, 1)] = Field(
        0.5, ge=0, le=1, description="Strength of changes of shape: moved, slanted, waved, thicker; 0: none."
    )
    wear: Annotated[float, Search(0, 1)] = Field(
        0.5, ge=0, le=1, description="Strength of what ink and paper suffer: stains, rules, pale ink, gaps; 0: none."
    )
    joined: Annotated[float, Search(0, 1)] = Field(
        0.0, ge=0, le=1, description="Extra lines, made of two real ones, as a share of these."
    )
    patience: int = Field(20, ge=1, le=1000, description="Epochs without a better validation CER before stopping.")
