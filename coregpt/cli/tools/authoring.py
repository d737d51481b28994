"""`coregpt plugins new` and `coregpt plugins api`: what an author of techniques begins with."""

import os
import shlex
from pathlib import Path

from coregpt.cli.screen import say, table
from coregpt.lab.authoring.draft import write
from coregpt.lab.study.code.checkouts import Checkout, elsewhere
from coregpt.lab.study.registry import Catalogue


def begin(name: str, hook: str) -> int:
    """Write a working technique for `hook`, its test and a study of two arms, and say what to call next."""
    here = Path.cwd()
    written = write(name, hook, here, Catalogue())
    plugin, test, study = (os.path.relpath(path, here) for path in written.three)
    rows = [[plugin, "a small technique that works: make it yours"], [test, "what is special about it"]]
    rows += [[study, "with and without it in a tiny model"]]
    rows += [[os.path.relpath(path, here), "makes its folder a package"] for path in written.also]
    for line in table(rows):
        say(line)
    checkout = Checkout.around(here)
    known = checkout is not None and checkout.searched
    if note := elsewhere(here):
        say(f"note: {note}")
    say()
    say(shlex.join(["coregpt", "try", name if known else plugin]))
    say(shlex.join(["python", "-m", "pytest", test]))
    say(shlex.join(["coregpt", "ablate", study]))
    say(shlex.join(["coregpt", "plugins", "check", name if known else plugin]))
    if known:
        say()
        say("once it is what you want, the rest of the repository must know it:")
        say(f"README.md: its name in the row of {written.plugin.parent.name}")
        say("python -m tests.plugins.digests")
        say("coregpt plugins pages")
    return 0


def print_api() -> int:
    """The page docs/api.md."""
    from coregpt.lab.authoring.reference import page

    say(page().rstrip())
    return 0
