"""The pre-tokenised FineWeb-10B shards of the speedrun community: 100M GPT-2 tokens, 200 MB each.

Source: dataset repository kjj0/fineweb10B-gpt2 on the Hugging Face hub.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from coregpt.contract.errors import DataError
from coregpt.engine.data import alone_in, read_shard

REPOSITORY = "kjj0/fineweb10B-gpt2"
TRAIN_SHARDS = 103
PUBLIC_ENDPOINT = "https://huggingface.co"
INSTALL = "python -m pip install 'coregpt[data]'  (in a checkout: python -m pip install -e '.[data]')"

Progress = Callable[[str], None]
Download = Callable[[str, str, Path, Progress], None]


def fetch_fineweb(folder: Path, shards: int, endpoint: str | None, progress: Progress) -> list[Path]:
    """Fetch the validation shard and the first `shards` training shards into `folder`; return their paths.

    Complete files are kept. `endpoint` defaults to `$HF_ENDPOINT`, else the public hub; `progress` gets one
    plain line at a time. Raises DataError, which says what to do, when huggingface_hub is not installed or a file
    cannot be had or is not what was published.
    """
    if not 1 <= shards <= TRAIN_SHARDS:
        raise DataError(f"fineweb10B has 1 to {TRAIN_SHARDS} training shards; {shards} were asked for")
    base = (endpoint or os.environ.get("HF_ENDPOINT") or PUBLIC_ENDPOINT).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise DataError(f"the endpoint must be an http(s) address, not '{base}'; check HF_ENDPOINT")
    download = _downloader()
    names = ["fineweb_val_000000.bin", *(f"fineweb_train_{i:06d}.bin" for i in range(1, shards + 1))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder, ".fetch.lock", "fetching"):
            for name in names:
                _fetch(download, base, folder / name, progress)
    except OSError as error:  # faults of the network arrive as DataError, so this is the disk
        raise DataError(f"cannot write to {folder} ({error.strerror or error}); make room or choose another") from error
    return [folder / name for name in names]


def _downloader() -> Download:
    """huggingface_hub is an extra, and slow to import."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read at its import; else it asks the endpoint who may be calling
    try:
        from coregpt.fetch.hub import download
    except ImportError as error:
        raise DataError(f"downloads need huggingface_hub ({error}); install it: {INSTALL}") from error
    return download


def _fetch(download: Download, base: str, path: Path, progress: Progress) -> None:
    """Nothing that is no shard ever gets the name of one."""
    with contextlib.suppress(DataError):  # absent, or left damaged by another tool
        read_shard(path)
        progress(f"{path.name}: already there")
        return
    part = path.with_name(path.name + ".part")
    download(base, REPOSITORY, part, progress)
    try:
        read_shard(part)
    except DataError as error:
        part.unlink()
        raise DataError(f"{base} has something else under the name {path.name}: {error}") from error
    os.replace(part, path)
    progress(f"{path.name}: complete")
