"""Where the file of a study says something, for mistakes that are found only after it was read."""

from coregpt.lab.study.declaration import Arm, Study
from coregpt.lab.study.yamlfile import Key, read


def where(study: Study, *key: str) -> str:
    """`file:line: key`, as the study's scale has it where it says so itself."""
    return _first(study, (("scales", study.scale), ()), key)


def where_arm(study: Study, arm: str) -> str:
    """Where an arm stands; one that a mode makes, where its techniques do."""
    return where(study, *(("techniques",) if study.techniques else ("arms", arm)))


def where_set(study: Study, arm: Arm, *key: str) -> str:
    """Where a setting of an arm is set, the innermost layer first; of what the file leaves out, where its base is."""
    return _first(study, (("arms", arm.name), ("sizes", study.member), ("scales", study.scale), ("base",)), key)


def _first(study: Study, layers: tuple[Key, ...], key: Key) -> str:
    """In the first layer that has the key, else where the last one would have it."""
    if study.path.suffix == ".json" or not study.path.is_file():  # declared by a report, or in a program
        return f"{study.path}: {'.'.join(map(str, key))}"
    document = read(study.path)
    set_at = next((layer for layer in layers if (*layer, *key) in document.lines), layers[-1])
    return document.where((*set_at, *key))
