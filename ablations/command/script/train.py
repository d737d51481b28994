"""A tiny character model in plain PyTorch, as people write one: argparse, a fixed text, its own evaluation lines.

It has nothing to do with CoreGPT and imports nothing of it; `ablations/command/dropout.yaml` judges a change of it.
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

TEXT = "".join(f"{n} times {m} is {n * m}. " for n in range(2, 30) for m in range(2, 30))


class Model(nn.Module):
    """A mean of embeddings of the last characters, one hidden layer."""

    def __init__(self, vocab: int, context: int, width: int, dropout: float):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.mix = nn.Linear(context * width, width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocab)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.mix(self.embed(tokens).flatten(1)))
        return self.head(self.drop(hidden))


def main() -> None:
    """Train, and print a line at every evaluation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    letters = sorted(set(TEXT))
    tokens = torch.tensor([letters.index(letter) for letter in TEXT])
    context = 8
    rows = tokens.unfold(0, context + 1, 1)
    cut = int(0.9 * len(rows))
    train, val = rows[:cut], rows[cut:]

    model = Model(len(letters), context, options.width, options.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr)
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    for step in range(options.steps + 1):
        if step % 50 == 0:
            model.eval()
            with torch.no_grad():
                loss = F.cross_entropy(model(val[:, :-1]), val[:, -1])
            model.train()
            print(f"step {step}/{options.steps} | validation {loss.item():.5f} | {loss.item() / math.log(2):.4f} bits")
        batch = train[torch.randint(len(train), (64,))]
        loss = F.cross_entropy(model(batch[:, :-1]), batch[:, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
