"""`test.metric: bits_per_byte`: loss per byte of text, for arms that need not have the same tokens.

A loss per token says how surprising a token is, and what a token is the tokenizer decides: arms with other tokenizers
have losses of other things. Bits of a byte of text are the same thing for all of them, if it is the same text. So
every arm is evaluated on the same whole documents (`eval_bytes`), which its folder of data vouches for.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.engine.data.source import HELD_OUT_TEXT
from coregpt.lab.designs.design import Design
from coregpt.lab.study.declaration import Arm, Study, StudyFile
from coregpt.lab.study.outline import Outline, Plan
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.text_unit import BITS, evaluated, in_bits, per_token, trained_bytes
from coregpt.lab.study.whereabouts import where_set


class Bits(Design):
    """Losses are of text, whatever its tokens are."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("metric") == BITS:
            yield "test.metric"

    def reshape(self, study: Study, file: StudyFile, wrong: Any) -> Study:
        for key, text in problems(study):
            wrong(key, text)
        return study

    def check(self, plan: Plan) -> None:
        refuse_other_texts(plan)

    def told(self, outlined: Outline) -> list[str]:
        study = outlined.study
        if not in_bits(study):
            return []
        why = "it is the same for every tokenizer, and a loss per token is not"
        lines = [f"Metric: bits per byte of text, because arms have data of their own: {why}."]
        if not own_data(study.arms):
            lines = [f"Metric: bits per byte of text: {why}."]
        text = f"{study.arms[0].run.eval_bytes:,} bytes of whole documents at most, the same text for every arm"
        return [*lines, f"Evaluated on {text}."]

    def told_of_test(self, plan: Plan, sd: float) -> list[str]:
        return list(text_lines(plan)) if in_bits(plan.study) else []


def own_data(arms: Sequence[Arm]) -> bool:
    """Whether arms have sources of their own to be evaluated on."""
    return len({arm.run.data.source for arm in arms}) > 1


def problems(study: Study) -> Iterator[Problem]:
    """What the file says otherwise than this metric needs it."""
    if not in_bits(study):
        return
    for arm in study.arms:
        if arm.run.eval_bytes is None:
            yield (
                ("test", "metric"),
                "bits_per_byte needs 'eval_bytes: N' in base: how many bytes of text losses are evaluated on",
            )
            return
        if arm.run.eval_bytes != study.arms[0].run.eval_bytes:
            yield ("arms", arm.name), "arms must be judged on the same text, and its eval_bytes is another"


def refuse_other_texts(plan: Plan) -> None:
    """Raises ConfigError for an arm that would be judged on another text than the baseline."""
    study, base = plan.study, plan.source
    for arm in study.arms:
        source = plan.source_of(arm.name)
        if source.digest == base.digest or arm.run.data.source == plan.baseline.run.data.source:
            continue
        texts = [each.about.get(HELD_OUT_TEXT) for each in (source, base)]
        at = where_set(study, arm, "data", "source")
        if not all(texts):
            name = next(each.name for each, text in zip((source, base), texts, strict=True) if not text)
            raise ConfigError(
                f"{at}: {name} does not say which text its held_out is, so nothing shows that arms are judged on the "
                "same one; make its folder with `coregpt data prepare`, of the same files with the same options"
            )
        if texts[0] != texts[1]:
            raise ConfigError(
                f"{at}: held_out of {source.name} is another text than that of {base.name}; prepare both of the same "
                "files with the same --held-out, and other tokenizers"
            )


def text_lines(plan: Plan) -> Iterator[str]:
    """What a token is in each arm, and how much text an arm is trained on: equal tokens are not equal text."""
    trained = trained_bytes(plan)
    for arm in plan.study.compared:
        tokens, size = evaluated(plan.source_of(arm.name), arm, "held_out")
        each = per_token(plan.source_of(arm.name), arm, "held_out")
        yield (
            f"{arm.name}: {tokens:,} tokens of {size:,} bytes, {each:.3g} bytes per token; trained on about "
            f"{trained[arm.name]:.3g} bytes"
        )
    if max(trained.values()) > 1.01 * min(trained.values()):
        yield (
            "Arms are not trained on equally much text: the verdict is about tokenizers and amounts of text together. "
            "Set each arm's tokens so that bytes are equal, with equal: flops or steps, if that is not the question."
        )
