"""A study of one technique that two cores finish in a minute: does it help a tiny model?"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

SEEDS = 5
"""The fewest with which one arm can get a verdict."""
BASE = {
    "model": {"vocab": 256, "dim": 64, "depth": 2, "heads": 2, "context": 64},
    "tokens": 131_072,
    "batch_tokens": 1024,
    "eval_tokens": 16_384,
    "evals": 2,
    "device": "cpu",
}
"""Chosen by cost: a run takes some four seconds of one core, a tenth of it evaluation, and the differences between runs
of one seed scatter by about 0.01 nats per byte. A GPU would wait for such a model, so none is used."""

PAGE = """\
# Two arms that differ in one technique, of a size that two cores finish in about a minute.
# What helps here may do nothing in a larger model: copy the scales of a study you trust for the real question.
question: {question}
{files}
base:
{base}
arms:
  {plain}: {{}}
  {name}: {{plugins: {{{name}: {options}}}}}

seeds: {seeds}
test: {{baseline: {plain}}}
"""


def study_text(
    name: str, options: Mapping[str, Any], files: Iterable[Path] = (), requires: Sequence[str] = (), title: str = ""
) -> str:
    """The YAML of the study; `files` are plugin files as seen from it, `requires` techniques of both arms."""
    base = {**BASE, "plugins": {needed: {} for needed in requires}} if requires else BASE
    listed = [file.as_posix() for file in files]
    return PAGE.format(
        question=json.dumps(f"Does {title or name} change the validation loss of a tiny model?"),
        files=f"plugin_files: {flow(listed)}\n" if listed else "",
        base="\n".join(f"  {key}: {flow(value)}" for key, value in base.items()),
        plain="without" if name != "without" else "plain",
        name=name,
        options=flow(options),
        seeds=SEEDS,
    )


def flow(value: Any) -> str:
    """JSON, which YAML reads as it is; names of settings without quotes, as people write them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, default=str)
