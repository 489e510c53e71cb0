"""Items files: the three formats give the same rows, and no content of a file can make reading fail."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.items_files import write_csv, write_jsonl, write_parquet
from vitrine.catalogs import Catalog
from vitrine.contracts.items import item_fields, verdict_fields
from vitrine.errors import DeliveryError
from vitrine.items.byte_ranges import MAX_LINE_BYTES, LocalBytes, Unreadable
from vitrine.items.files import Row, count_rows, items_format, plan_splits, read_rows
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.limits import ReadingLimits
from vitrine.items.policy import IngestPolicy
from vitrine.items.rows import judge_rows
from vitrine.settings import Settings

POLICY = IngestPolicy.of(Catalog(catalog_id="demo"), Settings())
VECTORS = IngestPolicy.of(Catalog(catalog_id="demo", space="vectors", dimension=3), Settings())
LIMITS = ReadingLimits.of(Settings())


class _Held:
    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        return self.data[start : start + length]


def read_all(
    source: Any, name: str, *, split_bytes: int = 32 << 20, limits: ReadingLimits = LIMITS
) -> list[Row | Unreadable]:
    splits = plan_splits(source, name=name, file_number=0, limits=limits, split_bytes=split_bytes)
    rows = [row for split in splits for row in read_rows(source, split, limits=limits)]
    assert sum(count_rows(source, split, limits=limits) for split in splits) == len(rows)
    return rows


def judged(source: Any, name: str, policy: IngestPolicy = POLICY) -> list[dict[str, Any]]:
    rows = iter(read_all(source, name))
    return list(judge_rows(rows, first_row_number=0, places=ImagePlaces("s3://bucket/base/"), policy=policy))


def test_parquet_jsonl_and_csv_of_the_same_items_give_the_same_rows(tmp_path: Path) -> None:
    rows = [
        {
            "item_id": f"i{n}",
            "image_uri": f"images/{n}.jpg",
            "title": f"Hat, {n}",
            "price": n + 0.5,
            "in_stock": n % 2 == 0,
        }
        for n in range(5)
    ]
    write_parquet(tmp_path / "items.parquet", rows, row_group_size=2)
    write_jsonl(tmp_path / "items.jsonl", rows)
    write_csv(tmp_path / "items.csv", rows)
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress((tmp_path / "items.csv").read_bytes()))
    (tmp_path / "items.jsonl.gz").write_bytes(gzip.compress((tmp_path / "items.jsonl").read_bytes()))

    found = [judged(LocalBytes(path), path.name) for path in sorted(tmp_path.iterdir())]

    assert all("reject_reason" not in row for file in found for row in file)
    assert all(file == found[0] for file in found)
    assert found[0][3]["price"] == 3.5
    assert found[0][3]["image_uri"] == "s3://bucket/base/images/3.jpg"


def test_jsonl_is_split_by_bytes_without_losing_a_row(tmp_path: Path) -> None:
    rows = [{"item_id": f"i{n}", "title": "x" * (n % 37)} for n in range(300)]
    write_jsonl(tmp_path / "items.jsonl", rows)

    found = read_all(LocalBytes(tmp_path / "items.jsonl"), "items.jsonl", split_bytes=101)

    assert [row.values["item_id"] for row in found] == [row["item_id"] for row in rows]


def test_lines_that_are_no_json_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_jsonl(
        path,
        [{"item_id": "a"}, '{"item_id": "b", ', "", b'{"item_id": "\xff"}', "[1]", "[" * 100_000, {"item_id": "z"}],
    )

    found = read_all(LocalBytes(path), path.name)

    assert [isinstance(row, Unreadable) for row in found] == [False, True, True, True, True, False]
    assert "not UTF-8" in found[2].detail
    assert "found list" in found[3].detail


def test_a_csv_row_with_other_fields_than_the_header_is_unreadable() -> None:
    found = read_all(_Held(b"item_id,title\na,one\nb\nc,three,3\nd,four\n"), "items.csv")

    assert [isinstance(row, Unreadable) for row in found] == [False, True, True, False]
    assert found[1].detail == "expected 2 fields as in the header, found 1"


def test_quoted_lines_breaks_belong_to_a_csv_field_and_a_byte_order_mark_to_none() -> None:
    found = read_all(_Held(b'\xef\xbb\xbfitem_id,title\r\na,"two\nlines"\r\n'), "items.csv")

    assert found[0].values == {"item_id": "a", "title": "two\nlines"}


def test_a_csv_row_that_is_not_utf8_costs_only_itself() -> None:
    found = read_all(_Held(b"item_id,title\na,caf\xe9\nb,tea\n"), "items.csv")

    assert isinstance(found[0], Unreadable)
    assert found[1].values == {"item_id": "b", "title": "tea"}


def test_a_parquet_file_without_a_footer_is_refused() -> None:
    with pytest.raises(DeliveryError, match=r"items\.parquet is not a readable Parquet file"):
        plan_splits(_Held(b"PAR1 this is none PAR1"), name="items.parquet", file_number=0, limits=LIMITS)


def test_a_damaged_parquet_page_costs_its_row_group(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    rows = [{"item_id": f"item number {n}", "image_uri": "x.jpg"} for n in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10, compression="gzip", use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(0).data_page_offset
    data[start + 30 : start + 60] = b"\xff" * 30

    found = read_all(_Held(bytes(data)), "items.parquet")

    assert len(found) == 20
    assert all(isinstance(row, Unreadable) for row in found[:10])
    assert [row.values["item_id"] for row in found[10:]] == [row["item_id"] for row in rows[10:]]


def test_a_footer_that_claims_more_rows_than_a_task_could_read_is_refused() -> None:
    data = _with_claimed_rows(10**12)

    with pytest.raises(
        DeliveryError, match=r"items\.parquet: row group 0 claims 1,000,000,000,000 rows, expected at most"
    ):
        plan_splits(_Held(data), name="items.parquet", file_number=0, limits=LIMITS)


def test_rows_that_a_footer_only_claims_are_malformed() -> None:
    found = read_all(_Held(_with_claimed_rows(5000)), "items.parquet")

    assert len(found) == 5000
    assert isinstance(found[-1], Unreadable)


def test_a_quote_that_is_not_closed_costs_so_many_lines_and_no_more() -> None:
    limits = replace(LIMITS, csv_max_record_lines=10)
    lines = [b"item_id,title", b'i0,"never closed', *(b"i%d,title" % n for n in range(1, 30))]

    found = read_all(_Held(b"\n".join(lines)), "items.csv", limits=limits)

    assert isinstance(found[0], Unreadable) and "a quote was not closed within 10 lines" in found[0].detail
    assert [row.values["item_id"] for row in found[1:]] == [f"i{n}" for n in range(10, 30)]


def test_a_record_of_as_many_lines_as_allowed_is_read() -> None:
    limits = replace(LIMITS, csv_max_record_lines=3)

    found = read_all(_Held(b'item_id,title\na,"1\n2\n3"\nb,one\n'), "items.csv", limits=limits)

    assert [row.values["title"] for row in found] == ["1\n2\n3", "one"]


@pytest.mark.parametrize("name", ["items.jsonl.gz", "items.csv.gz"])
def test_a_small_file_that_inflates_without_end_is_refused(name: str) -> None:
    source = _Held(gzip.compress(b"item_id\n" + b"\n" * 10_000_000))

    with pytest.raises(DeliveryError, match="inflates to more than 1,000,000 bytes"):
        read_all(source, name, limits=replace(LIMITS, items_max_inflated_bytes=1_000_000))

    assert source.size_bytes < 20_000


def test_one_long_text_in_every_row_of_a_small_parquet_file_is_held_once() -> None:
    stream = io.BytesIO()
    text = "x" * (4 << 20)
    titles = pa.DictionaryArray.from_arrays(pa.array([0] * 120, pa.int32()), [text])
    words = pa.ListArray.from_arrays(pa.array(range(121), pa.int32()), titles)
    table = pa.table({"item_id": [str(n) for n in range(120)], "title": titles, "words": words})
    pq.write_table(table, stream, store_schema=False)
    source = _Held(stream.getvalue())
    split = plan_splits(source, name="items.parquet", file_number=0, limits=LIMITS)[0]
    rows, most = 0, 0

    for row in read_rows(source, split, limits=LIMITS):
        assert isinstance(row, Row) and row.values["title"] == text and row.values["words"] == [text]
        rows, most = rows + 1, max(most, pa.total_allocated_bytes())

    assert rows == 120
    assert most < 100 << 20


def test_a_parquet_value_that_is_longer_than_a_line_costs_its_row() -> None:
    stream = io.BytesIO()
    long = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1], pa.int32()), ["x" * (MAX_LINE_BYTES + 1), "hat"])
    many = pa.ListArray.from_arrays(
        pa.array([0, 1, 4, 5], pa.int32()),
        pa.DictionaryArray.from_arrays(pa.array([0] * 5, pa.int32()), ["y" * (3 << 20)]),
    )
    pq.write_table(pa.table({"item_id": ["a", "b", "c"], "title": long, "words": many}), stream)

    found = read_all(_Held(stream.getvalue()), "items.parquet")

    assert [isinstance(row, Unreadable) for row in found] == [True, True, False]
    assert "more than 8,388,608 bytes" in found[0].detail
    assert found[2].values["title"] == "hat"


def test_texts_of_a_parquet_file_are_read_alike_however_they_are_nested_and_stored() -> None:
    columns: dict[str, list[Any]] = {
        "texts": ["p", None, "p"] * 2000,
        "lists": [["x", None], None, ["x"]] * 2000,
        "structs": [{"k": "v", "n": 1}, None, {"k": None, "n": 2}] * 2000,
        "maps": [[("k", "v")], None, []] * 2000,
        "binaries": [b"\xff", b"a", None] * 2000,
    }
    kinds = {"lists": pa.list_(pa.large_string()), "maps": pa.map_(pa.string(), pa.string())}
    table = pa.table({name: pa.array(values, kinds.get(name)) for name, values in columns.items()})
    table = table.append_column("words", table["texts"].dictionary_encode())
    table = table.append_column("numbers", pa.array([1, None, 2] * 2000).dictionary_encode())
    for stored in ({}, {"use_dictionary": False}, {"store_schema": False}):
        stream = io.BytesIO()
        pq.write_table(table, stream, **stored)

        found = read_all(_Held(stream.getvalue()), "items.parquet")

        assert [row.values for row in found if isinstance(row, Row)] == [
            {name: value for name, value in row.items() if value is not None} for row in table.to_pylist()
        ]


def test_a_row_group_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "items.parquet", [{"item_id": "a", "title": "x" * 20_000}])

    with pytest.raises(DeliveryError, match=r"row group 0 inflates to 20,\d+ bytes, expected at most 10,000"):
        read_all(
            LocalBytes(tmp_path / "items.parquet"),
            "items.parquet",
            limits=replace(LIMITS, items_max_inflated_bytes=10_000),
        )


def _with_claimed_rows(rows: int) -> bytes:
    """A Parquet file of 4,096 rows whose footer claims `rows` wherever it tells of them."""
    stream = io.BytesIO()
    pq.write_table(pa.table({"item_id": ["a"] * 4096, "image_uri": ["a.jpg"] * 4096}), stream)
    data = stream.getvalue()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8].replace(b"\x16" + _thrift_integer(4096), b"\x16" + _thrift_integer(rows))
    return data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _thrift_integer(value: int) -> bytes:
    """Returns a positive integer as Thrift's compact protocol writes it: zigzag, seven bits a byte."""
    value, found = 2 * value, bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def test_values_that_python_cannot_hold_cost_only_themselves() -> None:
    stream = io.BytesIO()
    table = pa.table(
        {
            "item_id": ["a", "b"],
            "image_uri": ["a.jpg", "b.jpg"],
            "created_at": pa.array([0, 10**15], pa.timestamp("ms")),  # the year 33658
        }
    )
    pq.write_table(table, stream)

    found = judged(_Held(stream.getvalue()), "items.parquet")

    assert "reject_reason" not in found[0]
    assert found[1]["reject_reason"] == "wrong_type"
    assert found[1]["reject_detail"].startswith("created_at: ")


def test_vectors_are_read_from_all_kinds_of_parquet_lists() -> None:
    values = [[1.0, 0.0, 0.5], None, [0.25, 1.0, 0.0]]
    for kind in (
        pa.list_(pa.float32()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), 3),
        pa.list_(pa.float16()),
    ):
        stream = io.BytesIO()
        embeddings = pa.array(values, pa.list_(pa.float64())).cast(kind) if kind.value_type != pa.float16() else None
        if embeddings is None:
            embeddings = pa.array(values, pa.list_(pa.float32())).cast(kind)
        pq.write_table(
            pa.table({"item_id": ["a", "b", "c"], "image_uri": ["x.jpg"] * 3, "embedding": embeddings}), stream
        )

        found = judged(_Held(stream.getvalue()), "items.parquet", VECTORS)

        assert [row.get("reject_reason") for row in found] == [None, "missing_embedding", None]
        assert found[2]["embedding"].tolist() == [0.25, 1.0, 0.0]


def test_names_of_other_formats_are_refused() -> None:
    with pytest.raises(DeliveryError, match="suffixes"):
        items_format("items.xlsx")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["items.jsonl", "items.csv", "items.csv.gz", "items.jsonl.gz"]))
def test_no_bytes_make_reading_or_judging_fail(data: bytes, name: str) -> None:
    for row in judged(_Held(data), name):
        assert set(row) >= {"row_number", "deleted", "attributes"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_COLUMNS = [
    "item_id",
    "image_uri",
    "title",
    "price",
    "in_stock",
    "created_at",
    "deleted",
    "attributes",
    "embedding",
    "x",
]


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(_COLUMNS), _JSON), st.booleans())
def test_whatever_a_column_holds_the_row_fits_the_contract(values: dict[str, Any], vectors: bool) -> None:
    line = json.dumps(values).encode() + b"\n"

    rows = judged(_Held(line), "items.jsonl", VECTORS if vectors else POLICY)

    schema = pa.schema([*item_fields(), *verdict_fields()])
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    assert len(rows) == 1
    batch.validate(full=True)
