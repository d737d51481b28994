"""A finished run, or a folder that `coregpt export` wrote, as a model that gives logits."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coregpt.contract.config import InputSource, RunConfig
from coregpt.contract.errors import ConfigError, DataError
from coregpt.engine import weights as files
from coregpt.engine.build import Assembled, NamedPlugins, assemble
from coregpt.engine.data import FINEWEB, NAMES, TokenSource, fineweb_folder, open_source
from coregpt.engine.data.source import GPT2_SEPARATOR, META, FolderMeta
from coregpt.engine.inputs import Given, Stored, open_inputs
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.status import find
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.inputs import find as stored_run
from coregpt.lab.study.place import opened
from coregpt.lab.study.registry import Catalogue
from coregpt.text.folder import tokenizer_of
from coregpt.text.tokenizer import GPT2, Bytes, Tokenizer, open_tokenizer
from coregpt.text.tokenizer import NAMES as TOKENIZERS


@dataclass(frozen=True)
class Trained:
    """A finished model on one device."""

    name: str
    config: RunConfig
    made: Assembled
    separator: int | None
    """Of the data that it was trained on."""
    tokenizer: str
    """As `open_tokenizer` takes it; a folder where it lies beside the shards, "" where nobody knows."""
    data: str
    """Digest of the data that it was trained on."""
    again: Callable[[RunConfig], Assembled]
    """The same weights in a model of other settings. Raises ConfigError where they do not fit."""

    def longer(self, times: int) -> "Trained":
        """The model for rows so many times longer: tables of positions are as long, and all that was trained is the
        same. Raises ConfigError where something that was trained has a length."""
        old = self.config
        shape = old.model.model_copy(update={"context": old.model.context * times})
        # As many steps of as many rows, so that every schedule ends where it did.
        sizes = {name: getattr(old, name) * times for name in ("tokens", "batch_tokens", "eval_tokens")}
        config = old.model_copy(update={"model": shape, **sizes})
        return replace(self, config=config, made=self.again(config))

    @property
    def context(self) -> int:
        return self.config.model.context

    @property
    def device(self) -> torch.device:
        return next(self.made.model.parameters()).device

    def refuse_other(self, source: TokenSource) -> None:
        """Raises ConfigError unless these are its run's data: of others it may have trained on what is held out."""
        if source.digest != self.data:
            raise ConfigError(
                f"{source.name} is not the data that {self.name} was trained on (sha256 {source.digest[:12]}, there "
                f"{self.data[:12]}): it may have trained on these very tokens; bring its data back, or train it anew"
            )

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) in fp32 of tokens (B, T), as evaluation sees them."""
        return self.made.model.logits(tokens.to(self.device), self.made.dials.values).float()

    def open_tokenizer(self, given: str | None = None) -> Tokenizer:
        """Raises DataError for one that is not that of its data, or where nobody knows which that is."""
        found = tokenizer_at(self.tokenizer, self.name, given)
        if found.vocab > self.config.model.vocab:
            raise DataError(
                f"{self.name} has {self.config.model.vocab:,} ids, and the tokenizer {found.vocab:,}: another one"
            )
        return found


def tokenizer_at(place: str, name: str, given: str | None = None) -> Tokenizer:
    """The tokenizer of `name`, as `Trained.tokenizer` says where it lies. Raises DataError where nobody knows."""
    if place not in ("", *TOKENIZERS) and Path(place).is_dir():
        return tokenizer_of(Path(place), given)
    if not given and not place:
        raise DataError(f"{name}: nothing says what its tokens mean; name its tokenizer with --tokenizer")
    return open_tokenizer(given or place)


def open_run(name: str, study: str | None, store: Path, device: str = "cpu") -> Trained:
    """A run by its id, the beginning of it, or ARM/SEED. Raises ConfigError saying why it has no model."""
    run = find(Ledger.of(store).read(), store, name, study)
    stored = stored_run(InputSource(run=run.id), Catalogue(stores=[store]))
    if stored.config is None:
        raise ConfigError(f"run {run.id}: {stored.no_model}")
    data = RunFolder(stored.path.parent).config()["data"]
    config = where_it_lies(stored.config, data, store)
    refuse_other_data(config, data, run.id)
    separator, tokenizer = meaning_of(config.data.source)

    def again(config: RunConfig) -> Assembled:
        return made_of(replace(stored, config=config), separator, torch.device(device))

    return Trained(run.id, config, again(config), separator, tokenizer, data, again)


def where_it_lies(config: RunConfig, digest: str, store: Path) -> RunConfig:
    """With the folder of its data where that is now: moved along with its runs, or here, and known by its digest."""
    named = Path(config.data.source)
    if config.data.source in NAMES or named.expanduser().is_dir():
        return config
    for place in dict.fromkeys((store.resolve().parent / named.name, Path.cwd() / named.name)):
        with contextlib.suppress(DataError):
            if place.is_dir() and open_source(str(place)).digest == digest:
                return config.model_copy(update={"data": config.data.model_copy(update={"source": str(place)})})
    return config


def refuse_other_data(config: RunConfig, digest: str, name: str) -> None:
    """Raises ConfigError where a folder of the run's data is there and holds others: ids may mean other text there.

    A named source means the same whatever was fetched of it, and a folder that is gone tells nothing.
    """
    place = Path(config.data.source).expanduser()
    if config.data.source in NAMES or not place.is_dir():
        return
    way_out = "bring them back, or move these away and name the tokenizer (--tokenizer)"
    try:
        found = opened(config.data, Path()).digest
    except DataError as error:
        raise ConfigError(
            f"{name}: {place} cannot be held against the data it was trained on ({error}); {way_out}"
        ) from error
    if found != digest:
        raise ConfigError(
            f"{place} is not the data that {name} was trained on (sha256 {found[:12]}, there {digest[:12]}): tokens "
            f"may mean other text here, and it may have trained on any of them; {way_out}"
        )


def made_of(stored: Stored, separator: int | None, device: torch.device) -> Assembled:
    """The model with its weights, ready for evaluation. Raises ConfigError for weights that are not its own."""
    assert stored.config is not None
    made = _assembled(stored.config, stored.plugins, stored.inputs, device=device, separator=separator)
    saved = files.read(stored.path, device)
    fill(made, saved.params, saved.buffers, str(stored.path))
    return made


def _assembled(
    config: RunConfig, plugins: NamedPlugins, inputs: Given, *, device: torch.device, separator: int | None
) -> Assembled:
    again = partial(_assembled, device=device, separator=separator)
    return assemble(config, plugins, open_inputs(config.inputs, inputs, device, again), device, separator)


@torch.no_grad()
def fill(made: Assembled, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], where: str) -> None:
    """Give a model its weights and set it to the end of its run, in evaluation.

    Raises ConfigError for the weights of another model.
    """
    for own, given in ((made.assembly.params, params), (files.persistent_buffers(made.model), buffers)):
        odd = own.keys() ^ given.keys()
        odd |= {name for name in own.keys() & given.keys() if own[name].shape != given[name].shape}
        if odd:
            raise ConfigError(f"{where} holds the weights of another model: '{min(odd)}' differs")
        for name, value in given.items():
            own[name].copy_(value)
    made.dials.set(made.timeline.clock(made.timeline.steps - 1))
    made.model.eval()
    made.model.requires_grad_(False)


def meaning_of(source: str) -> tuple[int | None, str]:
    """(separator, tokenizer) of a source as a run names it, without reading any shard; unknown where it is gone."""
    if source == NAMES[0]:
        return Bytes.separator, Bytes.name
    folder = fineweb_folder() if source == FINEWEB else Path(source).expanduser()
    if not folder.is_dir():
        return (GPT2_SEPARATOR, GPT2) if source == FINEWEB else (None, "")
    try:
        meta = FolderMeta.model_validate_json((folder / META).read_bytes())
    except FileNotFoundError:
        return GPT2_SEPARATOR, GPT2
    except (OSError, ValueError):
        return None, ""
    return meta.separator, str(folder)


def settings(config: RunConfig) -> dict[str, Any]:
    """Settings of a run as plain data, without the place of its data on this machine."""
    plain = config.model_dump(mode="json")
    return {**plain, "data": {**plain["data"], "source": Path(config.data.source).name}}
