"""A finished model as `GPT2LMHeadModel` of the library transformers lays it out, where it is one to the digit.

No technique is named and none is trusted: tensors are taken from where GPT-2 has its own, and the folder is written
only if a GPT-2 made of them here, from its definition and in float64, gives the logits that the model gives.

Source: Radford et al. 2019; names and shapes as in Hugging Face's `modeling_gpt2` (a linear map is stored (in, out)).
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coregpt.contract.errors import ConfigError
from coregpt.text.extras import extra
from coregpt.trained.exporting import CONFIG, MODEL, with_tokenizer, write_tensors
from coregpt.trained.opening import Trained

TOLERANCE = 1e-4
"""Of logits, whose largest is far from zero: what rounding in fp32 makes of them."""
ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh"}
"""How torch calls what GPT-2's configuration calls so."""
EPS = 1e-5
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """A model as GPT-2."""

    tensors: Tensors
    config: Mapping[str, Any]


def laid_out(model: Trained) -> Layout:
    """Raises ConfigError, saying what differs, for a model that is no GPT-2."""
    shape = model.config.model
    tensors = {name: each.contiguous().clone() for name, each in _tensors(model)}  # of memory of its own
    config: dict[str, Any] = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": shape.vocab,
        "n_positions": shape.context,
        "n_embd": shape.dim,
        "n_layer": shape.depth,
        "n_head": shape.heads,
        "n_inner": tensors["transformer.h.0.mlp.c_fc.weight"].shape[1],
        "layer_norm_epsilon": getattr(model.made.model.final_norm, "eps", EPS),
        "tie_word_embeddings": shape.tied,
        "bos_token_id": model.separator,
        "eos_token_id": model.separator,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    }
    return Layout(tensors, {**config, "activation_function": _fitting(model, tensors, config)})


def write(model: Trained, out: Path) -> None:
    """The folder `out`, whole or not at all. Raises ConfigError for a model that is no GPT-2."""
    library = extra("safetensors.torch", "an export")
    if out.exists():
        raise ConfigError(f"{out} is there already; choose another --out, or remove it")
    found = laid_out(model)
    work = out.with_name(f".{out.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with_tokenizer(work, model.tokenizer)
        (work / CONFIG).write_text(json.dumps({**found.config, "torch_dtype": "float32"}, indent=1), encoding="utf-8")
        write_tensors(library, found.tensors, work / MODEL)
        shutil.copymode(work / CONFIG, work / MODEL)
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _tensors(model: Trained) -> Iterator[tuple[str, Tensor]]:
    gpt, shape = model.made.model, model.config.model
    if gpt.positions is None:
        raise _other(model, "it has no learned table of positions")
    yield "transformer.wte.weight", _only(model, gpt.embedding, "its embedding")
    yield "transformer.wpe.weight", _only(model, gpt.positions, "its table of positions")
    blocks: list[Any] = list(gpt.blocks)
    for layer, block in enumerate(blocks):
        at = f"transformer.h.{layer}"
        try:
            attention, mlp = block.attention, block.mlp
            parts = [getattr(attention.inner, name) for name in ("q", "k", "v", "out")]
            mapped = {"mlp.c_fc": mlp.inner.up, "mlp.c_proj": mlp.inner.down}
            norms = {"ln_1": attention.pre, "ln_2": mlp.pre}
        except AttributeError as error:
            raise _other(model, f"layer {layer} has other parts ({error})") from None
        for name, norm in norms.items():
            yield from _norm(model, norm, f"{at}.{name}")
        weights, biases = zip(*(_linear(model, part) for part in parts[:3]), strict=True)
        yield f"{at}.attn.c_attn.weight", torch.cat([each.T for each in weights], 1)
        yield f"{at}.attn.c_attn.bias", torch.cat(biases)
        for name, part in {"attn.c_proj": parts[3], **mapped}.items():
            weight, bias = _linear(model, part)
            yield f"{at}.{name}.weight", weight.T
            yield f"{at}.{name}.bias", bias
    yield from _norm(model, gpt.final_norm, "transformer.ln_f")
    if not shape.tied:
        yield "lm_head.weight", _only(model, gpt.head, "its head")


def _only(model: Trained, part: nn.Module, what: str) -> Tensor:
    """The one parameter of a part."""
    found = list(part.parameters())
    if len(found) != 1:
        raise _other(model, f"{what} has {len(found)} parameters")
    return found[0].detach().float()


def _linear(model: Trained, part: nn.Module) -> tuple[Tensor, Tensor]:
    """(weight (out, in), bias (out,)): nothing for a bias that is not there."""
    weights = [each.detach().float() for each in part.parameters() if each.dim() == 2]
    biases = [each.detach().float() for each in part.parameters() if each.dim() == 1]
    if len(weights) != 1 or len(biases) > 1:
        raise _other(model, "a linear map has other parameters than a weight and a bias")
    return weights[0], biases[0] if biases else weights[0].new_zeros(len(weights[0]))


def _norm(model: Trained, norm: nn.Module, name: str) -> Iterator[tuple[str, Tensor]]:
    found = {path.rpartition(".")[2]: each.detach().float() for path, each in norm.named_parameters()}
    gain = found.pop("gain", found.pop("weight", None))
    if gain is None:
        raise _other(model, "its norms have no gain, and GPT-2 has LayerNorm")
    yield f"{name}.weight", gain
    yield f"{name}.bias", found.pop("bias", torch.zeros_like(gain))


def _fitting(model: Trained, tensors: Tensors, config: Mapping[str, Any]) -> str:
    """GPT-2's activation with which the logits are the model's; raises ConfigError where they are with none."""
    shape = model.config.model
    tokens = torch.randint(shape.vocab, (2, shape.context), generator=torch.Generator().manual_seed(0))
    wanted = model.logits(tokens).double().cpu()
    gaps = {
        name: float((logits(tensors, {**config, "activation_function": name}, tokens) - wanted).abs().max())
        for name in ACTIVATIONS
    }
    best = min(gaps, key=gaps.__getitem__)
    if not gaps[best] <= TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise _other(model, f"GPT-2 with its weights gives logits that differ by {gaps[best]:.2g}")
    return best


def _other(model: Trained, why: str) -> ConfigError:
    return ConfigError(
        f"{model.name} is no GPT-2: {why}; ablations/recipes/nanogpt_bias.yaml has one that is, and without --layout "
        "any model is exported"
    )


def logits(tensors: Tensors, config: Mapping[str, Any], tokens: Tensor) -> Tensor:
    """(B, T, V) in float64: GPT-2 from its definition."""
    own = {name: each.double().cpu() for name, each in tensors.items()}
    heads, eps = int(config["n_head"]), float(config["layer_norm_epsilon"])
    tables = own["transformer.wte.weight"], own["transformer.wpe.weight"]
    x = tables[0][tokens] + tables[1][: tokens.shape[1]]

    def affine(y: Tensor, name: str) -> Tensor:
        return y @ own[f"{name}.weight"] + own[f"{name}.bias"]

    def norm(y: Tensor, name: str) -> Tensor:
        return F.layer_norm(y, y.shape[-1:], own[f"{name}.weight"], own[f"{name}.bias"], eps)

    future = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
    for layer in range(int(config["n_layer"])):
        at = f"transformer.h.{layer}"
        split = affine(norm(x, f"{at}.ln_1"), f"{at}.attn.c_attn").chunk(3, -1)
        q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in split)
        scores = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(future, float("-inf"))
        x = x + affine((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2), f"{at}.attn.c_proj")
        hidden = affine(norm(x, f"{at}.ln_2"), f"{at}.mlp.c_fc")
        hidden = F.gelu(hidden, approximate=ACTIVATIONS[config["activation_function"]])
        x = x + affine(hidden, f"{at}.mlp.c_proj")
    head = own.get("lm_head.weight", own["transformer.wte.weight"])
    return norm(x, "transformer.ln_f") @ head.T
