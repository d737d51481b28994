"""`plugins/sha256.txt`: the techniques that these tests put before the laws. Whatever else lies there is not known.

`python -m tests.plugins.digests` writes it, after an edit of a technique; then the tests of this folder must pass.
"""

from pathlib import Path

from coregpt.lab.study.code.shipped import LIST, listing

PLUGINS = Path(__file__).parent.parent.parent / "plugins"

if __name__ == "__main__":
    (PLUGINS / LIST).write_text(listing(PLUGINS), encoding="utf-8", newline="\n")
