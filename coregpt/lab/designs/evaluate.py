"""`evaluate`: further outcomes of every run's final weights, measured when it is complete, beside the metric.

They only watch: no run has another name for them, and finished runs are measured without being trained again. They
are secondary: no verdict follows from them, whatever they say, and asking for others is no amendment of the study.
What the ledger has is when they were declared, so that a report can say whether results were known by then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.evaluating import KEY, PLACE_OF_FILE, Asked, Material, asked_of, tokens_of
from coregpt.lab.study.material import digest, found
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.whereabouts import where, where_set

IN_ROWS = ("position", "longer")
"""Outcomes that rows of another length have otherwise."""


class Evaluate(Design):
    """What is measured is declared; `coregpt.trained.outcomes` measures it."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.evaluate is not None:
            yield KEY

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        said = file.evaluate
        if said is None:
            return study
        if study.keep == "nothing":
            wrong(("keep",), f"'{KEY}' measures final weights, and 'keep: nothing' leaves none; remove one of them")
        if study.arms[0].run.eval_bytes is not None:
            wrong(("base", "eval_bytes"), f"'{KEY}' counts in tokens, not in bytes of text; remove one of them")
        files = {}
        for key, place in PLACE_OF_FILE.items():
            if (own := getattr(said, key)) is not None:
                try:
                    path = found(getattr(own, place), study.path.parent)
                    files[key] = Material(path, digest(path))
                except ConfigError as error:
                    wrong((KEY, key, place), str(error))
        return replace(study, designs={**study.designs, KEY: Asked(said, files)})

    def check(self, plan: Plan) -> None:
        asked = asked_of(plan.study)
        if asked is not None:
            _refuse_other_rows(plan, asked)
            _refuse_misfit_windows(plan, asked)
            _refuse_too_few(plan, asked)

    def fresh(self, study: Study) -> Study:
        """Fresh seeds are held against the verdict, and nothing else."""
        return replace(study, designs={key: value for key, value in study.designs.items() if key != KEY})

    def told_of_test(self, plan: Plan, sd: float) -> list[str]:
        asked, study = asked_of(plan.study), plan.study
        if asked is None:
            return []
        what = ", ".join(key for key in asked.declared() if key != "tokens")
        return [
            f"Secondary outcomes: {what}, on {tokens_of(asked, study):,} tokens of {study.reads}, of every finished "
            "run. No verdict follows from them; all of them together, over all arms, are corrected for their number."
        ]


def _refuse_other_rows(plan: Plan, asked: Asked) -> None:
    """Raises ConfigError for arms whose rows are of another length, where that matters."""
    rows = {arm.name: arm.run.model.context for arm in plan.study.compared}
    for key in IN_ROWS:
        if asked.declared().get(key) and len(set(rows.values())) > 1:
            each = ", ".join(f"{length} in '{arm}'" for arm, length in rows.items())
            raise ConfigError(f"{where(plan.study, KEY, key)}: arms have rows of other lengths: {each}; remove it")


def _refuse_misfit_windows(plan: Plan, asked: Asked) -> None:
    """Raises ConfigError for windows of books that are no whole number of an arm's rows."""
    books = asked.said.books
    for arm in plan.study.compared:
        context = arm.run.model.context
        if books is not None and books.length % context:
            text = f"expected a multiple of the {context:,} tokens of a row of '{arm.name}', got {books.length:,}"
            raise ConfigError(f"{where(plan.study, KEY, 'books', 'length')}: {text}")


def _refuse_too_few(plan: Plan, asked: Asked) -> None:
    """Raises ConfigError where the stream, or what is asked of it, does not hold what is to be measured."""
    study, count = plan.study, tokens_of(asked, plan.study)
    stream = getattr(plan.source, study.reads)
    for arm in study.compared:
        context = arm.run.model.context
        if count % context:
            at = where(study, KEY, "tokens") if asked.said.tokens else where_set(study, arm, "eval_tokens")
            raise ConfigError(f"{at}: expected whole rows of {context:,} tokens, got {count:,}")
        if short := [times for times in asked.said.longer if times * context > count]:
            text = f"a row of {short[0]} x {context:,} tokens does not fit into {count:,}; raise tokens"
            raise ConfigError(f"{where(study, KEY, 'longer')}: {text}")
    if count >= len(stream):
        text = f"{count:,} tokens and one more are needed, and '{study.reads}' has {len(stream):,}"
        raise ConfigError(f"{where(study, KEY, 'tokens')}: {text}")
    if asked.said.document and plan.source.separator is None:
        raise ConfigError(f"{where(study, KEY, 'document')}: {plan.source.name} has no separator between documents")
