"""How many GPUs one run gets, so that a study ends soonest: decided from measured seconds per step."""

import math
from collections.abc import Mapping


def choose_split(gpus: int, runs: int, seconds_per_step: Mapping[int, float]) -> int:
    """GPUs per run, of those measured, with which `runs` runs of equal length end first on `gpus` GPUs.

    `seconds_per_step` is the time of one step of one run by its number of GPUs. Runs beside each other make whole
    rounds: 6 runs on 8 GPUs take two rounds of 4 with 2 GPUs each. Of equal splits the one with fewer GPUs per run.
    Raises ValueError if none of those measured fits.
    """
    fitting = {each: seconds for each, seconds in seconds_per_step.items() if each <= gpus}
    if not fitting:
        raise ValueError(f"nothing was measured for at most {gpus} GPUs, only for {sorted(seconds_per_step)}")
    return min(fitting, key=lambda each: (math.ceil(runs / (gpus // each)) * fitting[each], each))
