"""Which packages are installed; all else is said in pyproject.toml.

They are found, so that a new folder of techniques is packaged without an edit. `packages.find` in pyproject.toml
cannot do it: it names packages by their folders, and the folder `plugins` is installed as `coregpt_plugins`.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["coregpt", "coregpt.*"]),
        "coregpt_plugins",
        *(f"coregpt_plugins.{name}" for name in find_packages("plugins")),
    ]
)
