"""`coregpt data fetch`."""

from coregpt.cli.screen import say
from coregpt.engine.data import FINEWEB, fineweb_folder
from coregpt.fetch import SETS, fetch_fineweb


def fetch(name: str, count: int) -> int:
    """Download the first `count` files of a set, and its validation shard if it has one."""
    folder = fineweb_folder().parent / name
    paths = fetch_fineweb(folder, count, None, say, name)
    if SETS[name].of_tokens:
        source = FINEWEB if name == FINEWEB else folder
        say(f"{len(paths)} shards are in {folder}; use them with  data: {{source: {source}}}")
    else:
        say(
            f"{len(paths)} files of text are in {folder}; make shards of them with  coregpt data prepare {folder} "
            "--out DIR"
        )
    return 0
