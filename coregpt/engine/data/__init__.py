"""Training data: token shards, the embedded corpus, the order of rows."""

from coregpt.engine.data.ahead import Ahead
from coregpt.engine.data.batches import Order, RowOrder
from coregpt.engine.data.catalogue import FINEWEB, NAMES, fineweb_folder, open_data, open_source
from coregpt.engine.data.corpus import pydocs
from coregpt.engine.data.files import alone_in, cache_dir, replacing
from coregpt.engine.data.judged import eval_rows, judged_rows
from coregpt.engine.data.mixing import mixed, row_order
from coregpt.engine.data.shards import TokenStream, read_shard, write_shard
from coregpt.engine.data.source import TokenSource, open_folder

__all__ = [
    "FINEWEB",
    "NAMES",
    "Ahead",
    "Order",
    "RowOrder",
    "TokenSource",
    "TokenStream",
    "alone_in",
    "cache_dir",
    "eval_rows",
    "fineweb_folder",
    "judged_rows",
    "mixed",
    "open_data",
    "open_folder",
    "open_source",
    "pydocs",
    "read_shard",
    "replacing",
    "row_order",
    "write_shard",
]
