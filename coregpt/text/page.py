"""The page of `coregpt data inspect`, drawn as reports are: tables, a chart of lengths, one of how common tokens "
"are."""

import math

from coregpt.report.drawing.charts import figure
from coregpt.report.drawing.markup import Code, Picture, Section
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.svg import Scale, element, line, polyline, ruled, text
from coregpt.report.drawing.tables import Table
from coregpt.text.inspection import Inspection, StreamFacts
from coregpt.text.words import RUN

WIDTH, HEIGHT, LEFT, BOTTOM = 640.0, 276.0, 88.0, 56.0
"""There is room left and below for words as narrow screens draw them."""
LETTER = 13.0
"""Of a number there, at most."""
NAMED = 6
"""Bars that have a number below them, at most."""
SPACE = "\u2423"
"""Stands for a space in a token: pages draw several as one."""
BORDER = "|"
"""Stands between two tokens of a sample."""


def page(name: str, found: Inspection) -> Page:
    """The whole page."""
    return Page(
        title=f"{name}: what is in it",
        eyebrow="CoreGPT data",
        heading=name,
        lead=lead(found),
        series=3,
        sections=[
            Section("Streams", (streams(found), overlap(found))),
            Section("Lengths of training documents", (lengths_picture(found.streams["train"]), lengths(found))),
            Section("Tokens", (ranks_picture(found), common(found))),
            Section("Beginnings of validation documents, token by token", tuple(samples(found))),
            Section("Source", (facts(found),)),
        ],
    )


def lead(found: Inspection) -> str:
    train = found.streams["train"]
    per = f"{train.bytes / train.tokens:.2f} bytes per token" if train.tokens else "no tokens"
    rate = found.overlap["held_out"].rate
    seen = "" if rate is None else f"; {rate:.2%} of runs of {RUN} words of held_out stand in training too"
    return f"{train.documents:,} training documents, {train.of:,} tokens, {per}{seen}."


def streams(found: Inspection) -> Table:
    rows = []
    for name, each in found.streams.items():
        per = f"{each.bytes / each.tokens:.3f}" if each.tokens else "–"
        looked = f"{each.tokens:,}" if each.tokens < each.of else "all"
        rows.append((name, f"{each.of:,}", looked, f"{each.documents:,}", f"{each.bytes:,}", per, f"{each.repeated:,}"))
    head = ("stream", "tokens", "looked at", "documents", "bytes of text", "bytes per token", "repeated documents")
    return Table("Streams; documents are told apart by the separator", head, rows)


def overlap(found: Inspection) -> Table:
    rows = []
    for name, each in found.overlap.items():
        rate = "–" if each.rate is None else f"{each.rate:.3%}"
        rows.append((name, f"{each.documents:,}", f"{each.runs:,}", f"{each.seen:,}", rate))
    head = ("stream", "documents in training", f"runs of {RUN} words", "of these in training", "share")
    return Table("What evaluation shares with training", head, rows)


def lengths(found: Inspection) -> Table:
    names = list(found.streams["train"].lengths)
    rows = [(name, *(f"{each.lengths[key]:,}" for key in names)) for name, each in found.streams.items()]
    return Table("Tokens per document", ("stream", *names), rows)


def common(found: Inspection) -> Table:
    rows = [(str(id_), repr(letters).replace(" ", SPACE), f"{share:.3%}") for id_, letters, share in found.common]
    used = f"{found.used_ids:,} of {found.source['vocab']:,} ids occur in training; {SPACE} is a space"
    return Table(f"The most common tokens; {used}", ("id", "token", "share"), rows)


def facts(found: Inspection) -> Table:
    return Table("Source", ("fact", "value"), [(key, str(value)) for key, value in found.source.items()], words=True)


def samples(found: Inspection) -> list[Code]:
    return [Code(BORDER.join(tokens)) for tokens in found.samples]


def lengths_picture(train: StreamFacts) -> Picture:
    """Documents by powers of two of their length."""
    highest = max((count for _, _, count in train.bars), default=1) or 1
    y = Scale(0, highest, HEIGHT - BOTTOM, 14)
    width = (WIDTH - LEFT - 12) / max(1, len(train.bars))
    parts = ruled(y, LEFT, WIDTH - 12, 4)
    for place, (low, _, count) in enumerate(train.bars):
        x = LEFT + place * width
        top = y(count)
        parts.append(element("rect", class_="dot s1", x=x + 2, y=top, width=width - 4, height=y(0) - top))
        if place % -(-len(train.bars) // NAMED) == 0:
            cut = x + 2 + LETTER * len(f"{low:,}") > WIDTH  # off by the picture's edge
            beside = (WIDTH - 2, "end") if cut else (x + 2, "start")
            parts.append(text(beside[0], HEIGHT - BOTTOM + 22, f"{low:,}", "tick", beside[1]))
    parts.append(text(WIDTH - 12, HEIGHT - 4, "tokens per document, from", "label", "end"))
    words = "How many training documents have a length from each power of two to the next"
    return Picture("lengths.svg", figure("".join(parts), WIDTH, HEIGHT, words), words)


def ranks_picture(found: Inspection) -> Picture:
    """Share over rank, both on logarithmic scales: natural text is close to a straight line."""
    points = [(math.log10(rank), math.log10(share)) for rank, share in found.ranks if share > 0]
    words = "Share of training tokens over the rank of a token by how common it is, both on logarithmic scales"
    if len(points) < 2:
        return Picture("ranks.svg", figure("", WIDTH, 20, words), words)
    x = Scale(0, math.ceil(points[-1][0]) or 1, LEFT, WIDTH - 12)
    y = Scale(math.floor(points[-1][1]), 0, HEIGHT - BOTTOM, 14)
    parts = []
    for power in range(int(y.low), 1):
        parts += [line(LEFT, y(power), WIDTH - 12, y(power), "grid")]
        parts += [text(LEFT - 8, y(power) + 4, f"{10.0**power:g}", "tick", "end")]
    for power in range(int(x.high) + 1):
        anchor = "end" if power == x.high else "middle"  # or the last one is cut off by the picture's edge
        parts.append(text(x(power), HEIGHT - BOTTOM + 22, f"{10**power:,}", "tick", anchor))
    drawn = polyline([(x(a), y(b)) for a, b in points], "mean")
    dots = "".join(element("circle", cx=x(a), cy=y(b), r=3.5, class_="dot") for a, b in points)
    parts.append(element("g", drawn + dots, class_="s1"))
    parts.append(text(WIDTH - 12, HEIGHT - 4, "rank", "label", "end"))
    return Picture("ranks.svg", figure("".join(parts), WIDTH, HEIGHT, words), words)
