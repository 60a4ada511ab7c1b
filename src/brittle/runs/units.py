"""What one unit of work has found, as bytes and back: its rows as Parquet, its kept examples as safetensors, both sealed.

The one reader of both: whatever is not exactly what was written here is refused, by an exception of any kind.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import load, save

from ..errors import InputError
from . import seal
from .rows import COST, SCHEMA, Row, to_table

Arrays = Mapping[str, np.ndarray[Any, Any]]

MOST_ROWS = 10**6  # of a unit
MOST_BYTES = 2**30  # of a unit's rows, unpacked, and of its examples
MOST_SPENT = 2**40  # of any cost of one sample


def rows_to_bytes(rows: Sequence[Row]) -> bytes:
    """A Parquet file, for other readers with checksums of its pages too."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(to_table(list(rows)))
        writer.add_key_value_metadata({seal.FIELD: seal.BLANK})
    return seal.sealed(buffer.getvalue())


def rows_from_bytes(data: bytes) -> pa.Table:
    """The rows in the schema's columns, one for each of a cell's samples."""
    seal.check(data)
    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
        parts = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        if file.metadata.num_rows > MOST_ROWS or sum(part.total_byte_size for part in parts) > MOST_BYTES:
            raise ValueError("it is larger than a unit of work can be")
        if not file.schema_arrow.equals(SCHEMA):
            raise ValueError("its columns are not those of rows")
        table = file.read()
    table.validate(full=True)
    if any(column.null_count for column in table.columns):
        raise ValueError("it has rows without a value")
    for name in COST:
        spent = pc.min_max(table[name]).as_py()
        if len(table) and not 0 <= spent["min"] <= spent["max"] <= MOST_SPENT:
            raise ValueError(f"its {name} are out of range")
    return table


def examples_to_bytes(cell: str, examples: Arrays) -> bytes:
    """x_adv (K, *S) float32 and id (K,) int64 of a cell's samples. InputError where they are too many to be read again."""
    if sum(array.nbytes for array in examples.values()) > MOST_BYTES // 2:
        raise InputError(
            f"{len(examples['id'])} examples of a unit are too many to be kept; give a smaller --keep or --shard"
        )
    tensors = {name: np.ascontiguousarray(array) for name, array in examples.items()}
    return seal.sealed(save(tensors, metadata={"cell": cell, seal.FIELD: seal.BLANK}))


def examples_from_bytes(data: bytes) -> tuple[str, dict[int, np.ndarray[Any, Any]]]:
    """The cell's key, and by sample id an example (*S) float32, finite or not."""
    seal.check(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    cell = header["__metadata__"]["cell"]
    tensors = load(data)
    ids, x_adv = tensors["id"], tensors["x_adv"]
    fits = ids.dtype == np.int64 and x_adv.dtype == np.float32 and ids.ndim == 1 and len(ids) == len(x_adv)
    if not (fits and isinstance(cell, str)):
        raise ValueError("it does not hold a float32 example for each int64 id")
    return cell, dict(zip(ids.tolist(), x_adv, strict=True))
