"""Normalise what enters the first block.

x_0 = rms(E[token]), where the plain model begins with E[token]; where tokens get learned positions, rms of the sum.
Every token then enters with the same length, however often it was seen, and how far a step moves it depends on the
length of its row of E: long rows turn slowly.

Suggested settings: none to set; a larger initial embedding (standard deviation 1 in the records) goes with it.
When it hurts / conflicts: with small initial embeddings the first layers add little to a stream of length sqrt(dim).
nGPT says itself how its stream begins.
Source: modded-nanogpt record 9.
"""

from torch import nn

from coregpt.api import Plugin, RMSNorm, Site, hookimpl


class NormAfterEmbed(Plugin):
    """Claims the norm before the first block, which the plain model leaves out."""

    @hookimpl
    def make_norm(self, at: Site, dim: int) -> nn.Module | None:
        return RMSNorm(dim) if at.name == "entry_norm" else None
