"""What a log says about its run beside the metrics: versions, devices, world size, seed, source code."""

import hashlib
import re
from dataclasses import dataclass, field

from coregpt.lab.logs.said import settings_in

SEPARATOR = re.compile(r"={20,}\s*")
"""A whole line of equals signs ends the source code that public logs begin with."""
_CODE = re.compile(r"(?:import \w|from [\w.]+ import |def \w+\(|class \w+|@\w|if __name__|\"\"\"|''')")
_VERSION = re.compile(r"Running py?torch (\S+)(?: compiled for CUDA (\S+))?", re.IGNORECASE)
_PYTHON = re.compile(r"Running Python (\S+)")
_DEVICE = re.compile(r"\|\s+(\d+)\s+((?:NVIDIA|Tesla|AMD|GeForce)[\w .-]*?)\s{2,}.*\|")
_GPU = r"(?:(?:NVIDIA|Tesla|AMD|GeForce) [\w .-]*?|(?:G[BH]200|[ABHLV]\d{2,3}[GS]?)\b[\w .-]*?)"
"""`NVIDIA GH200 120GB`, and `A40` or `H200` alone."""
_ON_DEVICE = re.compile(rf" on ({_GPU})(?: with world_size|\s*$)")
_NAMED_DEVICE = re.compile(rf"device(?:[_ ]name)?\s*[=:]\s*[\"']?({_GPU})\s*(?:[\"',;|)]|$)", re.IGNORECASE)
_WORLD = re.compile(r"world[_ ]size\W{1,3}(\d+)", re.IGNORECASE)
_DRIVER = re.compile(r"Driver Version: (\S+)")
_SEED_LINE = re.compile(r"(?<![A-Za-z0-9_])seed[\"']?(?:\s*[:=]\s*|\s+set to\s+|\s+)(\d+)\b", re.IGNORECASE)
_SEED_CODE = re.compile(
    r"^\s*(?:self\.)?seed\b\s*(?::\s*int\s*)?=\s*(\d+)\s*(?:#.*)?$|manual_seed\((\d+)\)", re.MULTILINE
)
_SEED_NAME = re.compile(r"(?:^|[^a-z])seed[-_=]?(\d+)(?!\d)", re.IGNORECASE)
_ANY_SEED = re.compile(r"((?:seed\w*\s*(?::\s*int\s*)?=\s*)|(?:seed\())\d+", re.IGNORECASE)

_SETTING = re.compile(
    r"^\s*(?:self\.)?([A-Za-z_]\w*)\s*(?::\s*[\w.\[\]| ]+)?=\s*"
    r"([-+]?[\d.][\w.+*/-]*|True|False|None|\"[^\"\n]*\"|'[^'\n]*')\s*,?\s*(?:#.*)?$",
    re.MULTILINE,
)


@dataclass
class Surroundings:
    """Facts gathered line by line. `facts` maps names such as 'torch' and 'device' to what the log said."""

    facts: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """What its lines say of how it is configured, by name."""

    def read(self, line: str) -> None:
        """Take in one line that is neither code nor metrics."""
        if found := _VERSION.search(line):
            self.facts["torch"] = found[1]
        if found := _PYTHON.search(line):
            self.facts["python"] = found[1]
        if found := _DRIVER.search(line):
            self.facts["driver"] = found[1]
            self.devices = {}
        if found := _ON_DEVICE.search(line) or _NAMED_DEVICE.search(line):
            self.facts["device"] = found[1]
        if found := _WORLD.search(line):
            self.facts["world size"] = found[1]
        if found := _DEVICE.match(line):
            self.devices[found[1]] = found[2]
        elif found := _SEED_LINE.search(line):
            self.seed = int(found[1])
        if not line.startswith("|"):  # a table of GPUs
            self.settings |= settings_in(line)

    def known(self) -> dict[str, str]:
        """All facts; devices of an nvidia-smi table count where the log does not name them itself."""
        facts = dict(self.facts)
        if self.devices:
            facts.setdefault("device", " / ".join(sorted(set(self.devices.values()))))
            facts.setdefault("world size", f"{len(self.devices)}")
        return facts


def looks_like_code(line: str) -> bool:
    """Whether an unindented line begins a piece of Python source."""
    return _CODE.match(line) is not None


def code_digest(source: str) -> str:
    """First 12 hex digits of the source's sha256, with every seed blanked: seeds are no change of configuration."""
    lines = "\n".join(line.rstrip() for line in source.splitlines())
    return hashlib.sha256(_ANY_SEED.sub(r"\1N", lines).encode()).hexdigest()[:12]


def seed_in_code(source: str) -> int | None:
    """The seed the source sets as a constant; None if it sets none or several."""
    found = {int(a or b) for a, b in _SEED_CODE.findall(source)}
    return found.pop() if len(found) == 1 else None


def settings_in_code(source: str) -> dict[str, str]:
    """Every name that a line of the source gives a plain value, with all the values that it is given; no seeds."""
    found: dict[str, list[str]] = {}
    for name, value in _SETTING.findall(source):
        if "seed" not in name.lower():
            found.setdefault(name, []).append(value)
    return {name: ", ".join(values) for name, values in found.items()}


def seed_in_name(name: str) -> int | None:
    """The seed in a file name such as `run_seed3.txt`."""
    found = _SEED_NAME.search(name)
    return int(found[1]) if found else None
