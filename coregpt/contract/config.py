"""The fully resolved description of one run: frozen plain data, nothing implied."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from coregpt.contract.data_config import DataConfig
from coregpt.contract.frozen import Frozen, Share, unused_left_out

__all__ = [
    "DataConfig",
    "Frozen",
    "InputSource",
    "ModelShape",
    "OptimConfig",
    "Precision",
    "RunConfig",
    "Share",
    "Span",
]

Precision = Literal["fp32", "bf16", "fp16"]


def _whole_from_one(value: float) -> float:
    if value >= 1 and value != int(value):
        raise ValueError("from 1 on this is a number of steps and must be whole; below 1 it is a share of the run")
    return value


Span = Annotated[float, Field(ge=0), AfterValidator(_whole_from_one)]
"""A stretch of a run: below 1 a share of it, from 1 on a number of steps. `Clock.span` gives it in steps."""


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
    tied: bool = False
    """The head has no weights of its own: it uses the embedding's, which get the gradients of both."""
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


class InputSource(Frozen):
    """Weights that a run is given: the final ones of another run, or those of a file."""

    run: str | None = None
    """Id of a finished run whose weights are kept."""
    file: str | None = None
    """A file of weights, made by coregpt or by torch.save of a mapping of tensors."""
    sha256: str | None = None
    """Of the file's content. It is filled in when a study is read, and stands for the file in a run's identity."""

    @field_validator("run", mode="before")
    @classmethod
    def _is_text(cls, given: Any) -> Any:
        if isinstance(given, int | float):
            raise ValueError(f'this id looks like a number, write it in quotes: run: "ID", got {given!r}')
        return given

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.run is None) == (self.file is None and self.sha256 is None):
            raise ValueError("expected one of {run: ID} and {file: PATH}")
        return self

    def identity(self) -> dict[str, str]:
        """What of it can change a number: where a file lies cannot."""
        if self.run is not None:
            return {"run": self.run}
        return {"sha256": self.sha256} if self.sha256 else {"file": self.file or ""}

    def __str__(self) -> str:
        return f"run {self.run}" if self.run is not None else str(self.file or f"the file with sha256 {self.sha256}")


class RunConfig(Frozen):
    """One run. Everything that can change a number is in here, and all of it is hashed."""

    model: ModelShape = ModelShape()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Technique name to its options."""
    inputs: dict[str, InputSource] = Field(default_factory=dict)
    """Weights that techniques ask for by name, such as a teacher's."""
    tokens: PositiveInt = 400_000
    """Training budget in tokens."""
    batch_tokens: PositiveInt = 2048
    """Tokens per optimizer step over all ranks; a multiple of `model.context`."""
    micro_rows: PositiveInt | None = None
    """Rows per forward pass. Empty: the whole share of a rank. Changes memory, not the maths."""
    eval_tokens: PositiveInt = 16_384
    """Tokens of each stream that a loss is evaluated on, the first ones, always the same; a multiple of
    `model.context`."""
    eval_bytes: PositiveInt | None = None
    """Evaluate instead the first whole documents of each stream that have so many bytes of text at most: the same text
    whatever the tokenizer."""
    evals: PositiveInt = 7
    """How many times the loss on `select` is evaluated, evenly spaced, the last time after the last step."""
    held_out_curve: bool = False
    """Evaluate `held_out` as often as `select`, as a target's steps need it; otherwise after the last step alone."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes initial weights (with each parameter's path) and anything random in a plugin."""
    data_seed: Annotated[int, Field(ge=0)] = 0
    """Fixes the order of training rows."""
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Precision = "fp32"
    """Arithmetic of the training pass; weights, optimizer and evaluation are always fp32. `fp16` scales the loss and
    skips steps whose gradients overflow."""
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

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As in `DataConfig`."""
        return unused_left_out(self, handler(self), "eval_bytes")
