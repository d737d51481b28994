"""What a study must say of techniques that do nothing, and what is told of them."""

from collections.abc import Callable, Sequence

from coregpt.contract.errors import ConfigError
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.idle.known import Known, known
from coregpt.lab.study.whereabouts import where_arm


def refuse_idle(studies: Sequence[Study], tell: Callable[[str], None] = lambda line: None) -> list[Known]:
    """What is known of each study; `tell` hears which arm is looked at.

    Raises ConfigError, one line per arm and technique that does nothing in it, unless the arm says `inert: true`.
    """
    found = [known(study, tell) for study in studies]
    problems = [line for study, each in zip(studies, found, strict=True) for line in _refused(study, each)]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return found


def _refused(study: Study, found: Known) -> list[str]:
    return [
        f"{where_arm(study, arm.name)}: '{name}' does nothing in '{arm.name}' ({why}), so the arm is not "
        f"what it says; {_way_out(study, arm.name, name)}"
        for arm in study.compared
        if not arm.inert
        for name, why in found.apart(arm.name).items()
    ]


def told_idle(study: Study, found: Known) -> list[str]:
    """What does nothing and may, what does nothing anywhere, and arms whose numbers must be equal."""
    lines = []
    for arm in study.compared:
        if not arm.inert:
            continue
        idle = found.apart(arm.name)
        lines += [f"Inert as declared: '{name}' does nothing in {arm.name} ({why})." for name, why in idle.items()]
        if not idle:
            lines.append(f"{arm.name} says inert: true, but every technique in it acts; remove that.")
    for name in sorted(found.everywhere):
        why = found.idle[study.compared[0].name][name]
        lines.append(f"'{name}' is in every arm and does nothing in any ({why}); remove it.")
    lines += [
        f"Equal numbers: {_listed(group)} must end alike to the last digit; nothing in which they differ reaches an "
        "evaluation."
        for group in found.equal
    ]
    return lines


def _way_out(study: Study, arm: str, name: str) -> str:
    if study.techniques:
        return f"leave '{name}' or what it lies idle beside out of 'techniques', or list the arms"
    return (
        f"remove it there (plugins: {{{name}: null}}), or write 'inert: true' in the arm if that is meant, as for a "
        "technique at a setting with which it does nothing"
    )


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
