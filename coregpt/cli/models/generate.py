"""`coregpt generate`. Text alone goes to stdout."""

import sys
from argparse import Namespace
from dataclasses import replace

from coregpt.cli.models.opening import opened
from coregpt.cli.screen import say
from coregpt.trained.caching import cannot
from coregpt.trained.sampling import Drawing, prompt_ids, text_of
from coregpt.trained.sampling import generate as drawn


def generate(options: Namespace, prompt: str, count: int, samples: int, how: Drawing) -> int:
    """Print each text as it comes."""
    model = opened(options)
    tokenizer = model.open_tokenizer(options.tokenizer)
    begin = prompt_ids(tokenizer, prompt)
    why = "" if options.no_cache else cannot(model)
    if why:
        print(f"note: the whole row is computed for every token, because {why}", file=sys.stderr)  # noqa: T201
    cached = not (options.no_cache or why)
    for number in range(samples):
        if samples > 1:
            say(f"{'' if number == 0 else chr(10)}--- seed {how.seed + number}")
        sys.stdout.write(prompt)
        one = replace(how, seed=how.seed + number)
        tokens = drawn(model, begin, tokenizer.vocab, count, one, cached)
        for piece in text_of(tokens, tokenizer):
            sys.stdout.write(piece)
            sys.stdout.flush()
        say()
    return 0
