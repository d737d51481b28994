"""`coregpt data fetch`."""

from pathlib import Path

from coregpt.cli.screen import say
from coregpt.engine.data import FINEWEB, fineweb_folder
from coregpt.fetch import SETS, fetch_fineweb
from coregpt.report.drawing.numbers import plural


def fetch(name: str, count: int) -> int:
    """Download the first `count` files of a set, and its validation shard if it has one."""
    folder = fineweb_folder().parent / name
    paths = fetch_fineweb(folder, count, None, say, name)
    say(_use(name, folder, len(paths)))
    return 0


def _use(name: str, folder: Path, count: int) -> str:
    """Where it is, and what to do with it."""
    if SETS[name].of_tokens:
        source = FINEWEB if name == FINEWEB else folder
        return f"{count} shards are in {folder}; use them with  data: {{source: {source}}}"
    match SETS[name].use:
        case "books":
            how = f"evaluate: {{books: {{path: {name}, length: 4096}}}}"
            return f"books are in {folder}; use them with  coregpt eval RUN --books {name}  or  {how}"
        case "questions":
            how = f"evaluate: {{hellaswag: {{file: {name}}}}}"
            return f"questions are in {folder}; use them with  coregpt eval RUN --hellaswag {name}  or  {how}"
    return f"{plural(count, 'file')} of text in {folder}; make shards with  coregpt data prepare {folder} --out DIR"
