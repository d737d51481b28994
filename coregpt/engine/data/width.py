"""Tokens read with the wrong width: a file of uint32 read as uint16, or the other way round.

A public project wrote its tokens as uint32 and trained on them as uint16: every second target was 0 or 1, and its
losses were half of the truth. Nothing about such a run looks wrong, so it is noticed where a shard is first read.
"""

from pathlib import Path

import numpy as np

from coregpt.contract.errors import DataError
from coregpt.engine.data.shards import Tokens

SAMPLE = 2**16
"""Tokens that are looked at, from the first one on."""
ENOUGH = 64
"""Fewer tokens show nothing."""
HIGH = 4
"""The upper half of a uint32 id is below this for every vocabulary up to 262,144."""
VARIED = 16
"""Lower halves have more values than this; a file of few different tokens is judged to be what it says."""


def likely_width(tokens: Tokens) -> int:
    """Bytes that a token probably has, 2 or 4: those of `tokens` (uint16 or uint32) unless that is absurd."""
    sample = np.asarray(tokens[:SAMPLE])
    own = sample.dtype.itemsize
    if len(sample) < ENOUGH:
        return own
    if own == 4:
        return 2 if float(np.mean(sample >> 16 >= HIGH)) > 0.5 else 4
    halves = [sample[0::2], sample[1::2]]
    for low, high in (halves, halves[::-1]):
        if int(high.max()) < HIGH and len(np.unique(low)) > VARIED:
            return 4
    return 2


def refuse_wrong_width(path: Path, tokens: Tokens) -> None:
    """Raises DataError, naming the likely width, for tokens that can hardly be what the file says."""
    own, likely = tokens.dtype.itemsize, likely_width(tokens)
    if own == likely:
        return
    sign = f"every second token is below {HIGH}" if likely == 4 else "most ids are beyond any vocabulary"
    raise DataError(
        f"{path} says that its tokens are uint{8 * own}, but {sign}: they are probably uint{8 * likely}. Trained on as "
        f"they are, they would give a loss that means nothing; write the file again with the right width"
    )
