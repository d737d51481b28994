"""GPT-2's layout: the model that comes out is the one that went in, by another's code."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from coregpt.cli import main
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import ConfigError
from coregpt.engine.build import assemble
from coregpt.engine.inputs import open_inputs
from coregpt.lab.study.registry import Catalogue
from coregpt.trained import gpt2
from coregpt.trained.opening import Trained

CPU = torch.device("cpu")
TECHNIQUES = {
    "biases": {"layernorm": {}, "linear_bias": {}},
    "no biases": {"layernorm": {"bias": False}},
    "tanh": {"layernorm": {}, "linear_bias": {}, "tanh_gelu": {}},
}


def trained(plugins, tied=True, **changes) -> Trained:
    """A model whose every weight, gain and bias is off its first value."""
    shape = ModelShape(vocab=61, dim=32, depth=2, heads=4, context=24, tied=tied, **changes)
    config = RunConfig(model=shape, plugins=plugins, batch_tokens=24, tokens=24, eval_tokens=24)
    named = Catalogue().instances(plugins)
    made = assemble(config, named, open_inputs({}, {}, CPU, None), CPU, None)
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for param in made.assembly.params.values():
            param.add_(0.3 * torch.randn(param.shape, generator=draws))
    made.dials.set(made.timeline.clock(0))
    made.model.eval()
    return Trained("tiny/0", config, made, 60, "", "data", lambda config: made)


def slow(folder, tokens):
    """The last logits of one row, in numpy, one position at a time, from the files alone."""
    config = json.loads((folder / "config.json").read_text())
    own = {name: value.double().numpy() for name, value in load_file(folder / "model.safetensors").items()}

    def norm(x, name):
        scaled = (x - x.mean()) / math.sqrt(x.var() + config["layer_norm_epsilon"])
        return scaled * own[f"{name}.weight"] + own[f"{name}.bias"]

    def act(x):
        if config["activation_function"] == "gelu":
            return np.array([0.5 * each * (1 + math.erf(each / math.sqrt(2))) for each in x])
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    width = config["n_embd"] // config["n_head"]
    stream = [own["transformer.wte.weight"][t] + own["transformer.wpe.weight"][i] for i, t in enumerate(tokens)]
    for layer in range(config["n_layer"]):
        at = f"transformer.h.{layer}"
        qkv = [norm(x, f"{at}.ln_1") @ own[f"{at}.attn.c_attn.weight"] + own[f"{at}.attn.c_attn.bias"] for x in stream]
        after = []
        for here, x in enumerate(stream):
            heads = []
            for head in range(config["n_head"]):
                first = [i * config["n_embd"] + head * width for i in range(3)]
                at_q, at_k, at_v = (slice(start, start + width) for start in first)
                scores = np.array([qkv[here][at_q] @ qkv[past][at_k] / math.sqrt(width) for past in range(here + 1)])
                shares = np.exp(scores - scores.max())
                heads.append(sum(s * qkv[past][at_v] for past, s in enumerate(shares / shares.sum())))
            y = np.concatenate(heads) @ own[f"{at}.attn.c_proj.weight"] + own[f"{at}.attn.c_proj.bias"]
            x = x + y
            hidden = act(norm(x, f"{at}.ln_2") @ own[f"{at}.mlp.c_fc.weight"] + own[f"{at}.mlp.c_fc.bias"])
            after.append(x + hidden @ own[f"{at}.mlp.c_proj.weight"] + own[f"{at}.mlp.c_proj.bias"])
        stream = after
    head = own.get("lm_head.weight", own["transformer.wte.weight"])
    return head @ norm(stream[-1], "transformer.ln_f")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("plugins", TECHNIQUES.values(), ids=TECHNIQUES)
def test_the_files_are_the_model_by_the_definition(tmp_path, plugins, tied):
    model = trained(plugins, tied)
    gpt2.write(model, tmp_path / "out")
    tokens = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7]
    wanted = model.logits(torch.tensor([tokens]))[0, -1].numpy()
    assert slow(tmp_path / "out", tokens) == pytest.approx(wanted, abs=2e-4)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["activation_function"] == ("gelu_new" if "tanh_gelu" in plugins else "gelu")
    assert config["tie_word_embeddings"] == tied
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("plugins", TECHNIQUES.values(), ids=TECHNIQUES)
def test_transformers_loads_it_and_says_the_same(tmp_path, plugins, tied):
    library = pytest.importorskip("transformers")
    model = trained(plugins, tied)
    gpt2.write(model, tmp_path / "out")
    theirs = library.GPT2LMHeadModel.from_pretrained(tmp_path / "out").eval()
    tokens = torch.arange(48).view(2, 24) * 7 % 61
    with torch.no_grad():
        assert torch.allclose(theirs(tokens).logits, model.logits(tokens), atol=2e-4)


@pytest.mark.parametrize(
    ("plugins", "why"),
    [
        ({}, "its norms have no gain, and GPT-2 has LayerNorm"),
        ({"rope": {}, "layernorm": {}}, "it has no learned table of positions"),
        ({"layernorm": {}, "relu2": {}}, "GPT-2 with its weights gives logits that differ by"),
        ({"layernorm": {}, "softcap": {}}, "GPT-2 with its weights gives logits that differ by"),
        ({"rmsnorm_gain": {}}, "GPT-2 with its weights gives logits that differ by"),
        ({"layernorm": {}, "swiglu": {}}, "GPT-2"),
    ],
)
def test_what_is_no_gpt2_is_refused_and_nothing_is_written(tmp_path, plugins, why):
    with pytest.raises(ConfigError, match=why) as error:
        gpt2.write(trained(plugins, tied=False), tmp_path / "out")
    assert "tiny/0 is no GPT-2" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        gpt2.write(trained(TECHNIQUES["biases"]), tmp_path / "out")


def test_weights_that_were_not_taken_over_right_are_found(tmp_path, monkeypatch):
    """The check is what keeps a mistake of this file from being published."""
    whole = gpt2._tensors

    def swapped(model):
        found = dict(whole(model))
        name = "transformer.h.1.ln_2.weight"
        yield from {**found, name: found[name].flip(0)}.items()

    monkeypatch.setattr(gpt2, "_tensors", swapped)
    with pytest.raises(ConfigError, match="logits that differ"):
        gpt2.write(trained(TECHNIQUES["biases"]), tmp_path / "out")


def test_the_command_refuses_a_run_with_techniques_of_another_kind(done, tmp_path, capsys):
    words = ["export", "scaled/0", "--runs", str(done.runs), "--layout", "gpt2", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "is no GPT-2" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_tokenizer_comes_along(done, tmp_path):
    model = replace(trained(TECHNIQUES["biases"]), tokenizer=str(done.data))
    gpt2.write(model, tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_text() == done.open("plain/0").open_tokenizer().text
