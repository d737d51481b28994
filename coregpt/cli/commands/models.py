"""What a finished run's model is good for: text, losses in detail, a file, a comparison with another."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from coregpt.cli.options import Commands, add_of_study, add_runs, positive


def generate(commands: Commands) -> None:
    parser = commands.add_parser("generate", help="text from a finished run, or from an export")
    add_model(parser)
    parser.add_argument(
        "--prompt", default="", metavar="TEXT", help="what the text goes on from (a document's beginning)"
    )
    parser.add_argument("--tokens", type=positive, default=256, metavar="N", help="at most so many (256)")
    parser.add_argument(
        "--samples", type=positive, default=1, metavar="N", help="texts, each with a seed of its own (1)"
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="X", help="0 takes the most probable token (1)"
    )
    parser.add_argument("--top-k", type=positive, metavar="K", help="only the K most probable tokens")
    parser.add_argument("--top-p", type=float, metavar="P", help="only the fewest tokens of this probability together")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first text (0)")
    parser.add_argument("--no-cache", action="store_true", help="compute the whole row for every token: the reference")

    def execute(options: Namespace) -> int:
        from coregpt.cli.models.generate import generate
        from coregpt.trained.sampling import Drawing

        how = Drawing(options.temperature, options.top_k, options.top_p, options.seed)
        return generate(options, options.prompt, options.tokens, options.samples, how)

    parser.set_defaults(execute=execute)


def export(commands: Commands) -> None:
    parser = commands.add_parser("export", help="a finished run's model as a folder: safetensors, settings, tokenizer")
    parser.add_argument("run", metavar="RUN", help="its id, the beginning of it, or ARM/SEED")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to be made")
    layout = "coregpt, or gpt2: as transformers has it, for a model that is a GPT-2 to the digit (coregpt)"
    parser.add_argument("--layout", choices=["coregpt", "gpt2"], default="coregpt", help=layout)
    parser.set_defaults(device="cpu")
    add_of_study(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.models.export import export

        return export(options)

    parser.set_defaults(execute=execute)


def add_model(parser: ArgumentParser) -> None:
    """A finished model."""
    parser.add_argument("run", metavar="RUN", help="its id, the beginning of it, ARM/SEED, or a folder of an export")
    parser.add_argument("--tokenizer", metavar="T", help="if its data do not say: bytes, gpt2, or a tokenizer's JSON")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (cpu)")
    add_of_study(parser)
    add_runs(parser)


def diff(commands: Commands) -> None:
    parser = commands.add_parser("diff", help="what two runs differ in: settings, curves, weights")
    parser.add_argument("first", metavar="RUN", help="its id, the beginning of it, or ARM/SEED")
    parser.add_argument("second", metavar="RUN", help="the other one")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_of_study(parser)
    add_runs(parser)

    def execute(options: Namespace) -> int:
        from coregpt.cli.models.diff import diff

        return diff(options.first, options.second, options.study, options.runs, options.json)

    parser.set_defaults(execute=execute)


def eval_(commands: Commands) -> None:
    parser = commands.add_parser("eval", help="a finished run's loss in detail; with --against, where two runs differ")
    add_model(parser)
    where = "tokens to evaluate: select, or held_out, which is for verdicts (select)"
    parser.add_argument("--stream", choices=["select", "held_out"], default="select", help=where)
    parser.add_argument("--tokens", type=positive, metavar="N", help="the first N tokens (as the run itself evaluated)")
    parser.add_argument("--against", metavar="RUN", help="another run on the same data: differences token by token")
    longer = "also rows so many times longer than those of training; repeat"
    parser.add_argument("--longer", type=positive, action="append", default=[], metavar="K", help=longer)
    books = "also long documents, by the tokens before: a file, a folder, or pg19 as it was fetched"
    parser.add_argument("--books", metavar="PATH", help=books)
    parser.add_argument("--length", type=positive, metavar="N", help="tokens of a window (four times the context)")
    parser.add_argument("--rows", type=positive, default=1, metavar="N", help="windows of every book (1)")
    parser.add_argument("--most-books", type=positive, metavar="N", help="only the first N that are long enough")
    parser.add_argument("--bucket", type=positive, default=128, metavar="N", help="places that are told together (128)")
    questions = "also HellaSwag: JSON lines, Parquet, or hellaswag as it was fetched"
    parser.add_argument("--hellaswag", metavar="FILE", help=questions)
    parser.add_argument("--questions", type=positive, metavar="N", help="only the first N questions of it")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with pictures")
    parser.add_argument("--json", action="store_true", help="for programs")

    def execute(options: Namespace) -> int:
        from coregpt.cli.models.evaluation import evaluate

        return evaluate(options)

    parser.set_defaults(execute=execute)
