"""Random numbers as functions of (seed, path, name, counter): uniform, independent, and the same for everybody."""

import pytest
import torch

from coregpt.contract.randomness import WORD, Noise, mix, uniform

ROWS, COLUMNS = 400, 500


@pytest.fixture(scope="module")
def draws() -> torch.Tensor:
    return uniform(Noise.of(3, "blocks.0.mlp.drop"), torch.arange(ROWS) * 256, (ROWS, COLUMNS)).double()


def slow_mix(word: int) -> int:
    """The same words with Python's integers, which have no width to overflow."""
    word ^= word >> 16
    word = word * 0x21F0AAAD % 2**32
    word ^= word >> 15
    word = word * 0x735A2D97 % 2**32
    return word ^ (word >> 15)


def slow_uniform(noise: Noise, counter: int, column: int) -> float:
    row = slow_mix(((slow_mix((counter % 2**32) ^ noise.low) + (counter >> 32)) % 2**32) ^ noise.high)
    return (slow_mix((row + slow_mix(column ^ noise.high)) % 2**32) >> 8) / 2**24


def test_every_number_is_that_of_unlimited_integers() -> None:
    noise, counters = Noise.of(1, "x"), [0, 1, 2**31, 2**32 - 1, 2**32, 2**40 + 5]
    found = uniform(noise, torch.tensor(counters), (6, 7))
    for row, counter in enumerate(counters):
        for column in range(7):
            assert found[row, column] == slow_uniform(noise, counter, column)


def test_the_mixer_is_a_bijection() -> None:
    assert len(mix(torch.arange(2**20)).unique()) == 2**20
    assert int(mix(torch.tensor([WORD]))) <= WORD


def test_numbers_are_uniform(draws: torch.Tensor) -> None:
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = torch.histc(draws, 100, 0, 1)
    chi = ((counts - draws.numel() / 100).square() / (draws.numel() / 100)).sum()
    assert 55 < chi < 155  # 99 degrees of freedom: one stream in ten thousand lies outside


def test_rows_columns_and_neighbours_are_not_related(draws: torch.Tensor) -> None:
    for table in (draws, draws.T):
        related = torch.corrcoef(table) - torch.eye(len(table))
        assert related.abs().max() < 6 / table.shape[1] ** 0.5
        assert abs(torch.corrcoef(torch.stack((table[:, :-1].flatten(), table[:, 1:].flatten())))[0, 1]) < 0.01


def test_names_and_seeds_are_streams_of_their_own(draws: torch.Tensor) -> None:
    for other in (Noise.of(4, "blocks.0.mlp.drop"), Noise.of(3, "blocks.1.mlp.drop")):
        again = uniform(other, torch.arange(ROWS) * 256, (ROWS, COLUMNS)).double()
        assert abs(torch.corrcoef(torch.stack((draws.flatten(), again.flatten())))[0, 1]) < 0.01


def test_a_row_does_not_depend_on_the_others() -> None:
    noise, counters = Noise.of(0, "x"), torch.arange(8) * 128
    whole = uniform(noise, counters, (8, 3, 5))
    assert torch.equal(whole[5:6], uniform(noise, counters[5:6], (1, 3, 5)))
    assert torch.equal(whole[:, 0], uniform(noise, counters, (8, 5)))
