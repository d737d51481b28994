import pytest
import torch
from coregpt_plugins.residual.bigram_hash_embed import bigram_rows

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

TABLE = "stack.bigram_hash_embed.table"


def slow_rows(tokens: list[int], rows: int, quirk: bool = False) -> list[int]:
    """Python integers, cut to 32 bits in two's complement."""
    found = [rows - 1]
    for t in range(1, len(tokens)):
        before = rows - 1 if quirk and t == 1 else tokens[t - 1]
        bits = ((36313 * tokens[t]) ^ (27191 * before)) & 0xFFFFFFFF
        signed = bits - 2**32 if bits >= 2**31 else bits
        found.append(signed % (rows - 1))
    return found


@pytest.mark.parametrize("quirk", [False, True])
def test_rows_are_those_of_integers_that_wrap_around(quirk):
    tokens = torch.randint(0, 150_000, (3, 200), generator=torch.Generator().manual_seed(0))
    assert int(tokens.max()) * 36313 > 2**32
    for rows in (377_280, 61 * 5, 2):
        wanted = [slow_rows(row, rows, quirk) for row in tokens.tolist()]
        assert bigram_rows(tokens, rows, quirk).tolist() == wanted


def slow_with(rows: int, quirk: bool, signs: torch.Tensor | None) -> type[SlowGPT]:
    class SlowBigrams(SlowGPT):
        def row(self, tokens):
            h, found = self.embed(tokens), []
            for t, row in enumerate(slow_rows(tokens, rows, quirk)):
                vector = self.p[TABLE][row]
                if signs is not None:
                    vector = vector * signs[(tokens[t - 1] ^ tokens[t]) % len(signs) if t else 0]
                found.append(vector)
            for layer in range(self.shape.depth):
                h = h + self.layer(layer, "bigram_share") * torch.stack(found)
                h = h + self.attention(self.norm(h), tokens, layer)
                h = h + self.mlp(self.norm(h), layer)
            return self.norm(h) @ self.p["head.out.weight"].T

    return SlowBigrams


@pytest.mark.parametrize(
    "options", [{}, {"rows": 2.5, "quirk_pos1": True}, {"sign_rows": 7}], ids=["plain", "quirk", "signs"]
)
def test_the_whole_model_equals_the_definition(build, options):
    run = build(bigram_hash_embed=options, shape={"depth": 2})
    signs = run.model.stack.make.signs
    rows = round(options.get("rows", 5) * 61)
    assert run.assembly.params[TABLE].shape == (rows, 32)
    assert (signs is None) == ("sign_rows" not in options)
    assert_equals_slow_model(run, slow_with(rows, "quirk_pos1" in options, None if signs is None else signs.double()))


def test_signs_are_fair_fixed_and_the_seeds(build):
    first, again, other = (
        build(bigram_hash_embed={"sign_rows": 64}, config={"seed": seed}).model.stack.make.signs for seed in (0, 0, 1)
    )
    assert set(first.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(first.mean())) < 0.1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_starts_as_the_plain_model_and_the_table_learns_from_the_first_step(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(bigram_hash_embed={"lr": 75, "decay": 5})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)
    run.model(tokens, targets, run.dials.values)[0].backward()
    assert run.assembly.params[TABLE].grad.any()
    rules, infos = run.assembly.rules, run.assembly.infos
    assert (rules[TABLE].lr, rules[TABLE].weight_decay, infos[TABLE].role) == (75, 5, "table")
    assert rules["blocks.0.bigram_share"].weight_decay == 0


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(ConfigError, match=r"plugins\.bigram_hash_embed\.rows"):
        build(bigram_hash_embed={"rows": 0})
    with pytest.raises(PluginError, match="'bigram_hash_embed' and 'ngpt'"):
        build(bigram_hash_embed={}, ngpt={})
