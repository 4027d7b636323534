"""What can be chosen about learning to read: bounds for the tuner, defaults that won (docs/lab.md)."""

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """The knobs of model, schedule and augmentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height_px: int = Field(32, ge=16, le=64, multiple_of=16, description="Lines are scaled to this height.")
    channels: int = Field(
        32, ge=8, le=128, multiple_of=8, description="Width of the first stage; later ones double it."
    )
    blocks: int = Field(1, ge=1, le=4, description="Residual blocks in each stage.")
    hidden: int = Field(128, ge=32, le=512, multiple_of=16, description="LSTM units in each direction.")
    layers: int = Field(2, ge=1, le=4, description="LSTM layers.")
    dropout: float = Field(0.1, ge=0, le=0.6)
    epochs: int = Field(10, ge=1, le=2000)
    batch_size: int = Field(32, ge=1, le=512, description="Lines a step.")
    learning_rate: float = Field(3e-3, ge=1e-5, le=3e-2, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(1e-3, ge=0, le=0.3)
    augment: float = Field(0.5, ge=0, le=1, description="Strength of the distortions; 0: none.")
    patience: int = Field(20, ge=1, le=1000, description="Epochs without a better validation CER before stopping.")
