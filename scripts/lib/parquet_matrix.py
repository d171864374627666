"""Writes Parquet files with pyarrow, DuckDB and Polars: see scripts/parquet-matrix."""

import datetime
import decimal
import itertools
import pathlib
import random
import sys

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 6000


def values(make, nulls, pool=None):
    """ROWS values; `nulls` is the share of NULLs, `pool` how many distinct values there are."""
    if pool:
        choices = [make() for _ in range(pool)]
        draw = lambda: random.choice(choices)
    else:
        draw = make
    return [None if random.random() < nulls else draw() for _ in range(ROWS)]


def text():
    parts = ["a", "bc", "é", "日本", "🦀", " ", "x-y", "0123456789"]
    return "".join(random.choice(parts) for _ in range(random.choice([0, 1, 2, 3, 5, 40])))


def columns(nulls, pool):
    day = datetime.date(2000, 1, 1)
    moment = datetime.datetime(2000, 1, 1)
    number = lambda bits: lambda: random.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))
    unsigned = lambda bits: lambda: random.randrange(2**bits)
    money = lambda digits: lambda: decimal.Decimal(random.randrange(-(10**digits) + 1, 10**digits)).scaleb(-2)
    later = lambda: moment + datetime.timedelta(microseconds=random.randrange(10**15))
    spec = {
        "bool": (pa.bool_(), lambda: random.random() < 0.3),
        "i8": (pa.int8(), number(8)),
        "i16": (pa.int16(), number(16)),
        "i32": (pa.int32(), number(32)),
        "i64": (pa.int64(), number(64)),
        "u8": (pa.uint8(), unsigned(8)),
        "u16": (pa.uint16(), unsigned(16)),
        "u32": (pa.uint32(), unsigned(32)),
        "u64": (pa.uint64(), unsigned(64)),
        "f32": (pa.float32(), lambda: random.uniform(-1e6, 1e6)),
        "f64": (pa.float64(), lambda: random.uniform(-1e6, 1e6)),
        "date": (pa.date32(), lambda: day + datetime.timedelta(days=random.randrange(9000))),
        "ts_ms": (pa.timestamp("ms"), later),
        "ts_us": (pa.timestamp("us", tz="UTC"), later),
        "time": (pa.time64("us"), lambda: later().time()),
        "dec9": (pa.decimal128(9, 2), money(9)),
        "dec18": (pa.decimal128(18, 2), money(18)),
        "dec30": (pa.decimal128(30, 2), money(30)),
        "dec50": (pa.decimal256(50, 2), money(50)),
        "text": (pa.string(), text),
        "large": (pa.large_string(), text),
        "bytes": (pa.binary(), lambda: text().encode()),
        "fixed": (pa.binary(7), lambda: random.randbytes(7)),
    }
    return {k: pa.array(values(make, nulls, pool), type=t) for k, (t, make) in spec.items()}


def pyarrow_files(folder):
    tables = {
        (n, p): pa.table(columns(n, p)) for n, p in [(0.0, None), (0.0, 50), (0.2, 300), (0.97, 10)]
    }
    required = tables[0.0, None]
    tables["required"] = required.cast(
        pa.schema([pa.field(f.name, f.type, nullable=False) for f in required.schema])
    )
    codecs = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
    for (key, table), page, dictionary in itertools.product(tables.items(), ["1.0", "2.0"], [True, False]):
        codec = random.choice(codecs)
        name = f"pyarrow-{key}-v{page[0]}-{'dict' if dictionary else 'plain'}-{codec}".replace(" ", "")
        pq.write_table(
            table, folder / f"{name}.parquet", compression=codec, data_page_version=page,
            use_dictionary=dictionary, row_group_size=2500, data_page_size=random.choice([500, 20000]),
            write_page_index=random.random() < 0.5, write_page_checksum=random.random() < 0.5,
        )
    for codec in codecs:
        pq.write_table(tables[0.2, 300], folder / f"pyarrow-codec-{codec}.parquet", compression=codec)
    kinds = {
        "DELTA_BINARY_PACKED": ["i8", "i16", "i32", "i64", "u32", "u64", "date", "ts_ms", "ts_us", "time"],
        "DELTA_LENGTH_BYTE_ARRAY": ["text", "large", "bytes"],
        "DELTA_BYTE_ARRAY": ["text", "large", "bytes", "fixed", "dec30"],
        "BYTE_STREAM_SPLIT": ["f32", "f64", "i32", "i64", "fixed", "dec30"],
        "RLE": ["bool"],
    }
    for (encoding, names), (key, table), page in itertools.product(kinds.items(), tables.items(), ["1.0", "2.0"]):
        chosen = table.select(names)
        name = f"pyarrow-{encoding}-{key}-v{page[0]}".replace(" ", "")
        pq.write_table(
            chosen, folder / f"{name}.parquet", use_dictionary=False, data_page_version=page,
            column_encoding={n: encoding for n in names}, data_page_size=3000,
        )
    pq.write_table(
        tables[0.2, 300].select(["ts_ms", "ts_us"]), folder / "pyarrow-int96.parquet",
        use_deprecated_int96_timestamps=True,
    )
    nested = pa.table({"l": [[1, 2], None, []] * 100, "s": [{"x": 1}] * 300, "flat": list(range(300))})
    pq.write_table(nested, folder / "pyarrow-nested.parquet")


def duckdb_files(folder, source):
    connection = duckdb.connect()
    for codec, version in itertools.product(
        ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"], ["V1", "V2"]
    ):
        target = folder / f"duckdb-{codec}-{version}.parquet"
        connection.execute(
            f"COPY (SELECT * EXCLUDE (dec50) FROM '{source}') TO '{target}' (FORMAT parquet,"
            f" COMPRESSION {codec}, PARQUET_VERSION {version}, ROW_GROUP_SIZE 2048)"
        )
    target = folder / "duckdb-own-types.parquet"
    connection.execute(
        "COPY (SELECT i::HUGEINT AS huge, (i % 200)::UTINYINT AS tiny, uuid() AS id,"
        " INTERVAL (i) DAY AS span, TIMESTAMP '2020-01-01' + INTERVAL (i) SECOND AS at,"
        f" 'w' || i % 7 AS word FROM range(5000) t(i)) TO '{target}' (FORMAT parquet)"
    )


def polars_files(folder, source):
    # Polars has no decimals of more than 38 digits.
    frame = polars.from_arrow(pq.read_table(source).drop_columns(["dec50"]))
    for codec in ["uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"]:
        frame.write_parquet(
            folder / f"polars-{codec}.parquet", compression=codec, row_group_size=1700, data_page_size=4000
        )


def main():
    random.seed(20)
    folder = pathlib.Path(sys.argv[1])
    pyarrow_files(folder)
    source = folder / "pyarrow-codec-snappy.parquet"
    duckdb_files(folder, source)
    polars_files(folder, source)
    print(len(list(folder.glob("*.parquet"))), "files")


main()
