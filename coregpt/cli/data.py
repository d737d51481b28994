"""`coregpt data fetch`."""

from coregpt.cli.screen import say
from coregpt.engine.data import fineweb_folder
from coregpt.fetch import fetch_fineweb


def fetch(shards: int) -> int:
    """Download the validation shard and the first `shards` training shards."""
    paths = fetch_fineweb(fineweb_folder(), shards, None, say)
    say(f"{len(paths)} shards are in {fineweb_folder()}; use them with  data: {{source: fineweb10B}}")
    return 0
