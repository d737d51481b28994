"""`coregpt data inspect`."""

import json
from dataclasses import asdict
from pathlib import Path

from coregpt.cli.screen import say, table
from coregpt.engine.data import FINEWEB, NAMES, fineweb_folder, open_source, replacing
from coregpt.report.drawing.page import html
from coregpt.report.drawing.tables import Table
from coregpt.text import page as pages
from coregpt.text.folder import tokenizer_of
from coregpt.text.inspection import inspect as looked_at
from coregpt.text.tokenizer import Tokenizer, open_tokenizer


def inspect(name: str, tokenizer: str | None, most: int, out: Path | None, as_json: bool) -> int:
    """Tell what is in a source, and write the page where one is asked for."""
    source = open_source(name)
    found = looked_at(source, _tokenizer(name, tokenizer), most)
    if as_json:
        say(json.dumps(asdict(found), indent=1))
    else:
        say(pages.lead(found))
        for each in (pages.streams(found), pages.overlap(found), pages.lengths(found)):
            _show(each)
        say("")
        for tokens in found.samples:
            say(pages.BORDER.join(tokens).replace("\n", "\\n"))
    if out is not None:
        with replacing(out) as file:
            file.write(html(pages.page(source.name, found)).encode("utf-8", errors="replace"))
        if not as_json:
            say(f"\n{out}: the same with pictures")
    return 0


def _tokenizer(name: str, given: str | None) -> Tokenizer:
    if name == NAMES[0]:
        return open_tokenizer(given or "bytes")
    return tokenizer_of(fineweb_folder() if name == FINEWEB else Path(name).expanduser(), given)


def _show(shown: Table) -> None:
    say(f"\n{shown.title}")
    for line in table([shown.head, *shown.rows]):
        say(line)
