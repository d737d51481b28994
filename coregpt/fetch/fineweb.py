"""FineWeb from the Hugging Face hub, as tokens or as text: whole files, each of the kind that it should be."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from coregpt.contract.errors import DataError
from coregpt.engine.data import FINEWEB, alone_in
from coregpt.fetch.sets import INSTEAD, SETS, Set

PUBLIC_ENDPOINT = "https://huggingface.co"
INSTALL = "python -m pip install 'coregpt[data]'  (in a checkout: python -m pip install -e '.[data]')"

Progress = Callable[[str], None]
Download = Callable[[str, str, str, Path, Progress, str], None]


def fetch_fineweb(
    folder: Path, shards: int, endpoint: str | None, progress: Progress, name: str = FINEWEB
) -> list[Path]:
    """Fetch the first `shards` files of a set (a key of `SETS`) into `folder`, with its validation shard if it has one.

    Returns their paths. Complete files are kept. `endpoint` defaults to `$HF_ENDPOINT`, else the public hub; `progress`
    gets one plain line at a time. Raises DataError, which says what to do, when huggingface_hub is not installed or a
    file cannot be had or is not what was published.
    """
    wanted = SETS[name]
    files = wanted.names(shards)
    base = (endpoint or os.environ.get("HF_ENDPOINT") or PUBLIC_ENDPOINT).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise DataError(f"the endpoint must be an http(s) address, not '{base}'; check HF_ENDPOINT")
    download = _downloader()
    paths = [folder / PurePosixPath(file).name for file in files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder, ".fetch.lock", "fetching"):
            for file, path in zip(files, paths, strict=True):
                _fetch(download, base, wanted, file, path, progress)
    except OSError as error:  # faults of the network arrive as DataError, so this is the disk
        raise DataError(f"cannot write to {folder} ({error.strerror or error}); make room or choose another") from error
    return paths


def _downloader() -> Download:
    """huggingface_hub is an extra, and slow to import."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read at its import; else it asks the endpoint who may be calling
    try:
        from coregpt.fetch.hub import download
    except ImportError as error:
        raise DataError(f"downloads need huggingface_hub ({error}); install it: {INSTALL}") from error
    return download


def _fetch(download: Download, base: str, wanted: Set, file: str, path: Path, progress: Progress) -> None:
    """Nothing of another kind ever gets the name of a shard or a text."""
    with contextlib.suppress(DataError):  # absent, or left damaged by another tool
        wanted.refuse_other(path)
        progress(f"{path.name}: already there")
        return
    part = path.with_name(path.name + ".part")
    download(base, wanted.repository, file, part, progress, INSTEAD[wanted.use])
    try:
        wanted.refuse_other(part)
    except DataError as error:
        what = _kind(part, wanted)
        part.unlink()
        raise DataError(
            f"{base} has something else under the name {path.name}: {what}; check HF_ENDPOINT, and whether the network "
            "asks to sign in"
        ) from error
    os.replace(part, path)
    progress(f"{path.name}: complete")


def _kind(part: Path, wanted: Set) -> str:
    """What a file is that is not what it should be."""
    with open(part, "rb") as file:
        if file.read(256).lstrip().startswith(b"<"):
            return "a web page"
    return f"no whole {'shard of tokens' if wanted.of_tokens else 'Parquet file'}"
