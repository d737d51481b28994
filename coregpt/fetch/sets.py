"""What can be fetched: tokens of GPT-2 as shards, texts for a tokenizer of one's own, and what models are asked.

Sources: dataset repositories kjj0/fineweb10B-gpt2, kjj0/fineweb100B-gpt2, kjj0/finewebedu10B-gpt2 (100M tokens, 200 MB
a shard), HuggingFaceFW/fineweb and HuggingFaceFW/fineweb-edu (their samples of 10B tokens, about 2 GB a file);
emozilla/pg19-test (the 100 books of PG19's test, 25 MB), Rowan/hellaswag (its 10,042 questions for validation).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coregpt.contract.errors import DataError
from coregpt.engine.data import read_shard

PARQUET = b"PAR1"

Use = Literal["training", "books", "questions"]
INSTEAD: Mapping[Use, str] = {
    "training": "'pydocs', which needs no download",
    "books": "long texts of your own, a .txt for each, with --books FOLDER",
    "questions": "questions of your own in its form, as JSON lines, with --hellaswag FILE",
}
"""What does as well where there is no network."""


@dataclass(frozen=True)
class Set:
    """Files of one dataset repository."""

    repository: str
    first: str
    """Of a set of shards its validation shard, which always comes along; else empty."""
    others: str
    """Pattern of the names of the files that are counted."""
    count: int
    """How many of these there are."""
    begin: int = 1
    """Number of the first."""
    use: Use = "training"
    """What it is for."""

    @property
    def of_tokens(self) -> bool:
        return bool(self.first)

    def names(self, count: int) -> list[str]:
        """Of the first `count` files, as the repository has them. Raises DataError for more than there are."""
        if not 1 <= count <= self.count:
            what = "training shards" if self.of_tokens else "files"
            many = f"1 to {self.count} {what}" if self.count > 1 else "one file"
            raise DataError(f"{self.repository} has {many}; {count} were asked for")
        numbers = range(self.begin, self.begin + count)
        return [*([self.first] if self.first else []), *(self.others.format(number) for number in numbers)]

    def refuse_other(self, path: Path) -> None:
        """Raises DataError for a file that is not of this kind, whatever its name is."""
        if self.of_tokens:
            read_shard(path)
            return
        try:
            with open(path, "rb") as file:
                start, size = file.read(4), file.seek(0, 2)
                file.seek(max(0, size - 4))
                end = file.read(4)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from error
        if start != PARQUET or end != PARQUET or size < 12:
            raise DataError(f"{path} is no whole Parquet file")


SETS = {
    "fineweb10B": Set("kjj0/fineweb10B-gpt2", "fineweb_val_000000.bin", "fineweb_train_{:06d}.bin", 103),
    "fineweb100B": Set("kjj0/fineweb100B-gpt2", "fineweb_val_000000.bin", "fineweb_train_{:06d}.bin", 1030),
    "fineweb-edu10B": Set("kjj0/finewebedu10B-gpt2", "finewebedu_val_000000.bin", "finewebedu_train_{:06d}.bin", 99),
    "fineweb-text": Set("HuggingFaceFW/fineweb", "", "sample/10BT/{:03d}_00000.parquet", 15, 0),
    "fineweb-edu-text": Set("HuggingFaceFW/fineweb-edu", "", "sample/10BT/{:03d}_00000.parquet", 14, 0),
    "pg19": Set("emozilla/pg19-test", "", "data/test-00000-of-00001-29a571947c0b5ccc.parquet", 1, use="books"),
    "hellaswag": Set("Rowan/hellaswag", "", "data/validation-00000-of-00001.parquet", 1, use="questions"),
}
"""By the name that `coregpt data fetch` takes."""
