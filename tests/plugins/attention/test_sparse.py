import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake

SIZES = {"compress": 4, "stride": 2, "block": 4, "top": 3, "window": 3, "kv_heads": 1}


def slow_sparse(options):
    class SlowSparse(SlowGPT):
        """Per query, with lists of the tokens and summaries that it sees; token t stands at `place(t)` of its row."""

        def place(self, t):
            return t

        def rule(self, score, head, q, k):
            """What others' rules make of a score, of the tokens at two places."""
            return score

        def hidden(self, q, k):
            """Whether others' rules hide what is at one place from what is at another."""
            return False

        def scores(self, q, keys, head, t, tokens):
            return torch.stack(
                [
                    self.rule(q @ k / len(q) ** 0.5, head, self.place(t), self.place(s))
                    for k, s in zip(keys, tokens, strict=True)
                ]
            )

        def mix(self, q, keys, values, head, t, tokens):
            if not keys:
                return torch.zeros_like(q)
            probabilities = torch.softmax(self.scores(q, keys, head, t, tokens), 0)
            return sum(p * v for p, v in zip(probabilities, values, strict=True))

        def summarise(self, rows, layer, name):
            of = lambda part: self.layer(layer, f"attention.{name}.{part}")  # noqa: E731
            found = []
            for start in range(0, len(rows) - options["compress"] + 1, options["stride"]):
                block = [rows[start + i] + of("inside")[i] for i in range(options["compress"])]
                hidden = of("up.weight") @ torch.cat(block)
                found.append(of("down.weight") @ (hidden / (1 + torch.exp(-hidden))))
            return found

        def attention(self, x, tokens, layer):
            of = lambda name: self.layer(layer, f"attention.{name}.weight")  # noqa: E731
            width, heads, keys = self.shape.head_dim, self.shape.heads, options["kv_heads"]
            group, size, n = heads // keys, options["block"], -(-len(tokens) // options["block"])
            cut = lambda full, i: full[:, i * width : (i + 1) * width]  # noqa: E731
            q, k, v = x @ of("q").T, x @ of("k").T, x @ of("v").T
            gates = 1 / (1 + torch.exp(-(x @ of("gate").T)))
            out = [[None] * heads for _ in tokens]
            for j in range(keys):
                summaries = [
                    self.summarise(cut(full, j), layer, name) for full, name in ((k, "k_summary"), (v, "v_summary"))
                ]
                for t in range(len(tokens)):
                    starts = [i * options["stride"] for i in range(len(summaries[0]))]
                    ends = [start + options["compress"] - 1 for start in starts]
                    ended = [
                        i
                        for i, end in enumerate(ends)
                        if end <= t and not self.hidden(self.place(t), self.place(starts[i]))
                    ]
                    stand = [ends[i] for i in ended]
                    sees = lambda s: not self.hidden(self.place(t), self.place(s))  # noqa: E731, B023
                    rank = [0.0] * n
                    mine = range(j * group, (j + 1) * group)
                    for head in mine:
                        query = cut(q, head)[t]
                        if ended:
                            scores = self.scores(query, [summaries[0][i] for i in ended], head, t, stand)
                            for i, p in zip(ended, torch.softmax(scores, 0), strict=True):
                                first, last = i * options["stride"], i * options["stride"] + options["compress"] - 1
                                for block in range(n):
                                    if first < (block + 1) * size and last >= block * size:
                                        rank[block] += float(p)
                    own = t // size
                    always = {0, own, max(own - 1, 0)}
                    rest = sorted((b for b in range(own + 1) if b not in always), key=lambda b: -rank[b])
                    slots = options["top"] - len(always)
                    chosen = always | set(rest[:slots])
                    for head in mine:
                        query = cut(q, head)[t]
                        first = self.mix(query, *([s[i] for i in ended] for s in summaries), head, t, stand)
                        near = [s for s in range(t + 1) if s // size in chosen and sees(s)]
                        second = self.mix(query, *([cut(f, keys + j)[s] for s in near] for f in (k, v)), head, t, near)
                        near = [s for s in range(max(0, t - options["window"] + 1), t + 1) if sees(s)]
                        third = self.mix(
                            query, *([cut(f, 2 * keys + j)[s] for s in near] for f in (k, v)), head, t, near
                        )
                        out[t][head] = sum(
                            gates[t, i * heads + head] * part for i, part in enumerate((first, second, third))
                        )
            return torch.stack([torch.cat(row) for row in out]) @ of("out").T

    return SlowSparse


@pytest.mark.parametrize("changed", [{}, {"kv_heads": 2}, {"compress": 2, "top": 4}, {"compress": 8}])
def test_the_whole_model_equals_the_definition(build, changed):
    options = {**SIZES, **changed}
    assert_equals_slow_model(build(sparse=options, shape={"depth": 2}), slow_sparse(options), rows=1, length=21)


def test_a_row_too_short_for_a_summary(build):
    options = {**SIZES, "compress": 8}
    run = shake(build(sparse=options, shape={"depth": 1}))
    tokens = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(
        run.model.logits(tokens, {}).double(), slow_sparse(options)(run).logits(tokens), rtol=1e-4, atol=1e-5
    )


def test_other_documents_and_tokens_before_a_window_are_seen_by_no_branch(build):
    run = shake(build(sparse=SIZES, config={"data": {"document_mask": True}}, shape={"depth": 1}))
    tokens = torch.randint(1, 61, (1, 24), generator=torch.Generator().manual_seed(0))
    tokens[0, 10] = 0
    other = tokens.clone()
    other[0, :10] = (other[0, :10] % 60) + 1
    before, after = (run.model.logits(t, {})[0, 10:] for t in (tokens, other))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


def test_sizes_must_fit(build):
    with pytest.raises(ConfigError, match="must divide compress"):
        build(sparse={"compress": 5, "stride": 2})
    with pytest.raises(ConfigError, match="at least 3"):
        build(sparse={"top": 2})


def slow_with_rules(options, places=None, window=None, cap=None, slopes=None):
    class SlowWithRules(slow_sparse(options)):
        def place(self, t):
            return t if places is None else places[t]

        def rule(self, score, head, q, k):
            score = cap * torch.tanh(score / cap) if cap else score
            return score - slopes[head] * (q - k) if slopes else score

        def hidden(self, q, k):
            return window is not None and k <= q - window

    return SlowWithRules


SLOPES = [2**-4, 2**-8]
"""Of ALiBi's heads 1 and 2 of 2."""


def test_others_rules_of_scores_hold_in_every_branch(build):
    """And say which blocks are selected, by what is left of a summary's score."""
    options = {**SIZES, "top": 4}
    for plugins, rules in (({"alibi": {}}, {"slopes": SLOPES}), ({"score_softcap": {"cap": 0.5}}, {"cap": 0.5})):
        run = build(sparse=options, **plugins, shape={"depth": 1})
        slow = slow_with_rules(options, **rules)
        assert_equals_slow_model(run, slow, rows=1, length=21)


def test_some_tokens_of_a_row_keep_their_places_in_it(build):
    """A window hides by place, and distances are between places; blocks and windows of its own count what is there."""
    own, window = {**SIZES, "window": 2}, {"window": 7, "layout": "L"}
    run = shake(build(sparse=own, alibi={}, sliding_window=window, shape={"depth": 1, "context": 32}))
    places = [0, 2, 3, 7, 8, 9, 10, 11, 13, 17, 18, 20, 24, 25, 29, 31]
    tokens = torch.randint(0, 61, (1, 32), generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, len(places), run.config.model.dim, generator=torch.Generator().manual_seed(1))
    ctx = run.model._context(tokens, run.dials.values).select(torch.tensor([places]))
    with torch.no_grad():
        got = run.model.blocks[0].attention.inner(x, ctx)[0].double()
        slow = slow_with_rules(own, places, window=7, slopes=SLOPES)(run)
        wanted = slow.attention(x[0].double(), tokens[0, places].tolist(), 0)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
