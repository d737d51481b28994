"""The fully resolved description of one run: frozen plain data, nothing implied."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, as an option: from 0 to 1."""


def _whole_from_one(value: float) -> float:
    if value >= 1 and value != int(value):
        raise ValueError("from 1 on this is a number of steps and must be whole; below 1 it is a share of the run")
    return value


Span = Annotated[float, Field(ge=0), AfterValidator(_whole_from_one)]
"""A stretch of a run: below 1 a share of it, from 1 on a number of steps. `Clock.span` gives it in steps."""


class Frozen(BaseModel):
    """Base of every configuration object: immutable, no unknown keys, documented fields."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )


class ModelShape(Frozen):
    """Sizes of the model. B, T, H and D below are batch, context, heads and head width."""

    vocab: PositiveInt = 256
    """Rows of the embedding and of the head; may exceed the tokenizer's ids (padding)."""
    dim: PositiveInt = 128
    """Width of the residual stream."""
    depth: PositiveInt = 4
    """Number of blocks."""
    heads: PositiveInt = 4
    """Attention heads per block; must divide `dim`."""
    context: PositiveInt = 128
    """Tokens per training row."""
    hidden: PositiveInt | None = None
    """Width inside the MLP. Empty: 4 x dim (gated activations take two thirds of it)."""
    init_std: PositiveFloat = 0.02
    """Standard deviation of initial weights; residual output projections get 1/sqrt(2 x depth) of it."""

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"heads must divide dim, but {self.dim} is not a multiple of {self.heads}")
        if self.head_dim % 2:
            raise ValueError(f"dim / heads must be even, but {self.dim} / {self.heads} = {self.head_dim}")
        return self


class OptimConfig(Frozen):
    """AdamW for every parameter no plugin claims, and the clip that applies to all."""

    lr: PositiveFloat = 0.002
    """Peak learning rate; the `lr` schedule multiplies it."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of the second moment."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the bias-corrected second moment."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decoupled: each step subtracts lr x weight_decay x parameter."""
    grad_clip: Annotated[float, Field(ge=0)] = 1.0
    """Largest allowed norm of the whole gradient; 0 turns clipping off."""


class DataConfig(Frozen):
    """Which tokens. Order and split belong to core, so that no arm can move them."""

    source: str = "pydocs"
    """`pydocs` (made from the interpreter's documentation), `fineweb10B`, or a folder of .bin shards."""
    document_mask: bool = False
    """Attention may not cross a document separator."""


class RunConfig(Frozen):
    """One run. Everything that can change a number is in here, and all of it is hashed."""

    model: ModelShape = ModelShape()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    plugins: dict[str, dict[str, Any]] = {}
    """Technique name to its options."""
    tokens: PositiveInt = 400_000
    """Training budget in tokens."""
    batch_tokens: PositiveInt = 2048
    """Tokens per optimizer step over all ranks; a multiple of `model.context`."""
    micro_rows: PositiveInt | None = None
    """Rows per forward pass. Empty: the whole share of a rank. Changes memory, not the maths."""
    eval_tokens: PositiveInt = 16_384
    """Length of the fixed evaluation stream, in tokens; a multiple of `model.context`."""
    evals: PositiveInt = 7
    """How many times the loss is evaluated, evenly spaced, the last time after the last step."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes initial weights (with each parameter's path) and anything random in a plugin."""
    data_seed: Annotated[int, Field(ge=0)] = 0
    """Fixes the order of training rows."""
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the training pass; weights, optimizer and evaluation are always fp32."""
    compile: bool = False
    """Compile the model with torch.compile; where that fails the run says why and goes on without."""

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        for key in ("batch_tokens", "eval_tokens"):
            value = getattr(self, key)
            if value % self.model.context:
                raise ValueError(
                    f"{key} must be a multiple of model.context, but {value} is not a multiple of {self.model.context}"
                )
        if self.tokens < self.batch_tokens:
            raise ValueError(f"tokens ({self.tokens}) must cover at least one batch ({self.batch_tokens})")
        return self
