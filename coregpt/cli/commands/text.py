"""From text to shards: tokenizers and data."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from coregpt.cli.options import Commands, positive

TOKENIZER = "bytes, gpt2, or a tokenizer's JSON"


def tokenizer(commands: Commands) -> None:
    parser = commands.add_parser(
        "tokenizer", help="train a tokenizer on text of your own, or tell which token another begins with"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    train = actions.add_parser("train", help="byte-level BPE; tells how much it shortens text")
    train.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="text, JSON lines, Parquet, a folder of them, or pydocs"
    )
    train.add_argument("--vocab", type=positive, default=4096, metavar="N", help="number of ids (4096)")
    train.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="where it is written")
    train.add_argument("--words", choices=["gpt2", "gpt4"], default="gpt4", help="how text is cut into words (gpt4)")
    train.add_argument("--force", action="store_true", help="replace the file")
    add_reading(train)

    def execute(options: Namespace) -> int:
        from coregpt.cli.text.tokenizer import train

        return train(options.files, options.out, options.vocab, options.words, reading(options), options.force)

    train.set_defaults(execute=execute)
    _prefixes(actions.add_parser("prefixes", help="which token each begins with: an input of `prefix_loss`"))


def _prefixes(parser: ArgumentParser) -> None:
    parser.add_argument("tokenizer", metavar="T", help=TOKENIZER)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.pt", help="where it is written")
    parser.add_argument("--force", action="store_true", help="replace the file")

    def execute(options: Namespace) -> int:
        from coregpt.cli.text.tokenizer import prefixes

        return prefixes(options.tokenizer, options.out, options.force)

    parser.set_defaults(execute=execute)


def data(commands: Commands) -> None:
    parser = commands.add_parser("data", help="get, make and look at training data")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _fetch(actions.add_parser("fetch", help="download shards of tokens, or texts"))
    _prepare(actions.add_parser("prepare", help="make shards of text, split by document"))
    _inspect(
        actions.add_parser("inspect", help="what is in a source: documents, lengths, tokens, overlap; a page of it")
    )


def _fetch(parser: ArgumentParser) -> None:
    names = ["fineweb10B", "fineweb100B", "fineweb-edu10B", "fineweb-text", "fineweb-edu-text", "pg19", "hellaswag"]
    what = "tokens of GPT-2, texts for a tokenizer of your own, or what a model is asked: pg19, hellaswag"
    parser.add_argument("name", choices=names, help=what)
    files = "training shards of 100M tokens, or files of text of about 2 GB (1)"
    parser.add_argument("--shards", type=positive, default=1, metavar="N", help=files)

    def execute(options: Namespace) -> int:
        from coregpt.cli.text.data import fetch

        return fetch(options.name, options.shards)

    parser.set_defaults(execute=execute)


def _prepare(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="text, JSON lines, Parquet, a folder of them, or pydocs"
    )
    parser.add_argument("--tokenizer", default=None, metavar="T", help=f"{TOKENIZER} (bytes)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the folder to be made: name it as a source"
    )
    parser.add_argument(
        "--held-out", type=float, default=0.05, metavar="X", help="share of documents for verdicts (0.05)"
    )
    parser.add_argument(
        "--select", type=float, default=0.05, metavar="X", help="share of documents to choose by (0.05)"
    )
    parser.add_argument("--once", action="store_true", help="leave out documents whose text stood earlier")
    formats = ["text", "nanogpt", "uint32", "shards"]
    what = "text; or token files: nanogpt (uint16 without a header), uint32, shards (text)"
    parser.add_argument("--format", choices=formats, default="text", help=what)
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes (one per core)")
    add_reading(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.text import prepare

        if options.format != "text":
            return prepare.convert_tokens(options.files, options.out, options.tokenizer, options.format)
        shares = (options.held_out, options.select)
        return prepare.prepare_text(
            options.files, options.out, options.tokenizer, reading(options), shares, options.once, options.jobs
        )

    parser.set_defaults(execute=execute)


def _inspect(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="pydocs, fineweb10B, or a folder of shards")
    parser.add_argument("--tokenizer", metavar="T", help=f"{TOKENIZER}, if the folder does not say")
    parser.add_argument("--tokens", type=positive, default=20_000_000, metavar="N", help="at most so many of a stream")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page here")
    parser.add_argument("--json", action="store_true", help="for programs")

    def execute(options: Namespace) -> int:
        from coregpt.cli.text.inspect import inspect

        return inspect(options.source, options.tokenizer, options.tokens, options.html, options.json)

    parser.set_defaults(execute=execute)


def add_reading(parser: ArgumentParser) -> None:
    """How files of text are read."""
    between = "what stands between two documents of a text file, such as '\\n\\n' (a file is one document)"
    parser.add_argument("--separator", metavar="TEXT", help=between)
    parser.add_argument("--field", default="text", metavar="NAME", help="key or column that holds the text (text)")
    parser.add_argument("--encoding", default="utf-8", metavar="NAME", help="of text files (utf-8)")
    parser.add_argument("--pattern", metavar="GLOB", help="files to look for in folders, such as '*.py'")


def reading(options: Namespace) -> "Reading":  # type: ignore[name-defined] # noqa: F821
    from coregpt.text.reading import Reading

    between = options.separator
    if between is not None:
        between = between.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")
    return Reading(between, options.field, options.encoding, options.pattern)
