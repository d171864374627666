"""Writes Parquet files with pyarrow, DuckDB and Polars: see scripts/parquet-matrix.

Every file holds one column per type and kind of NULLs, named TYPE-KIND; files differ in codec, page
version and encoding. A type's k-th encoding is in the files of kind k, so that no pair is left out.
"""

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

ROWS = 420
# Share of NULLs and how many distinct values there are (None: as many as rows).
NULLS = {"required": (0.0, None), "none": (0.0, 50), "some": (0.2, 300), "most": (0.95, 10), "all": (1.0, 1)}
DELTA, SPLIT = "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"
LENGTHS, STRINGS = "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"
INTEGER, REAL = ["PLAIN", DELTA, SPLIT], ["PLAIN", SPLIT]
TEXT, FIXED = ["PLAIN", LENGTHS, STRINGS], ["PLAIN", SPLIT, STRINGS]


def text():
    parts = ["a", "bc", "é", "日本", "🦀", " ", "x-y", "0123456789"]
    return "".join(random.choice(parts) for _ in range(random.choice([0, 1, 2, 3, 5, 40])))


def number(bits):
    return lambda: random.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))


def unsigned(bits):
    return lambda: random.randrange(2**bits)


def money(digits, scale=2):
    limit = 10**digits
    # Not by arithmetic: a Decimal of more than 28 digits would be rounded.
    return lambda: decimal.Decimal(f"{random.randrange(1 - limit, limit)}e-{scale}")


def later():
    return datetime.datetime(2000, 1, 1) + datetime.timedelta(microseconds=random.randrange(10**15))


def types():
    """Name: type, a function that makes a value, encodings besides dictionaries."""
    day = lambda: datetime.date(2000, 1, 1) + datetime.timedelta(days=random.randrange(9000))
    whole = lambda: later().replace(microsecond=0)
    milli = lambda: later().replace(microsecond=1000 * random.randrange(1000))
    spec = {
        "bool": (pa.bool_(), lambda: random.random() < 0.3, ["PLAIN", "RLE"]),
        "f16": (pa.float16(), lambda: random.randrange(-2000, 2000) / 4, FIXED),
        "f32": (pa.float32(), lambda: random.uniform(-1e6, 1e6), REAL),
        "f64": (pa.float64(), lambda: random.uniform(-1e6, 1e6), REAL),
        "date": (pa.date32(), day, INTEGER),
        "date64": (pa.date64(), day, INTEGER),
        "time_s": (pa.time32("s"), lambda: whole().time(), INTEGER),
        "time_ms": (pa.time32("ms"), lambda: milli().time(), INTEGER),
        "time_us": (pa.time64("us"), lambda: later().time(), INTEGER),
        "time_ns": (pa.time64("ns"), lambda: random.randrange(86_400 * 10**9), INTEGER),
        "uuid": (pa.uuid(), lambda: random.randbytes(16), FIXED),
        "fixed": (pa.binary(7), lambda: random.randbytes(7), FIXED),
        "text": (pa.string(), text, TEXT),
        "large": (pa.large_string(), text, TEXT),
        "view": (pa.string_view(), text, TEXT),
        "bytes": (pa.binary(), lambda: text().encode(), TEXT),
        "large_bytes": (pa.large_binary(), lambda: text().encode(), TEXT),
        "bytes_view": (pa.binary_view(), lambda: text().encode(), TEXT),
        "word": (pa.dictionary(pa.int32(), pa.string()), text, ["PLAIN"]),
    }
    for bits in [8, 16, 32, 64]:
        spec[f"i{bits}"] = (getattr(pa, f"int{bits}")(), number(bits), INTEGER)
        spec[f"u{bits}"] = (getattr(pa, f"uint{bits}")(), unsigned(bits), INTEGER)
    for unit, make in [("s", whole), ("ms", milli), ("us", later), ("ns", later)]:
        spec[f"ts_{unit}"] = (pa.timestamp(unit), make, INTEGER)
        spec[f"utc_{unit}"] = (pa.timestamp(unit, tz="UTC"), make, INTEGER)
        spec[f"span_{unit}"] = (pa.duration(unit), number(50), INTEGER)
    spec["oslo"] = (pa.timestamp("us", tz="Europe/Oslo"), later, INTEGER)
    spec["dec_32"] = (pa.decimal32(7, 2), money(7), FIXED)
    spec["dec_64"] = (pa.decimal64(16, 3), money(16, 3), FIXED)
    for digits in [5, 9, 18, 30, 38]:
        spec[f"dec{digits}"] = (pa.decimal128(digits, 2), money(digits), FIXED)
    for digits in [50, 76]:
        spec[f"dec{digits}"] = (pa.decimal256(digits, 5), money(digits, 5), FIXED)
    return spec


def column(type, make, nulls, pool):
    storage = type.storage_type if isinstance(type, pa.ExtensionType) else type
    choices = [make() for _ in range(pool or ROWS)]
    draw = lambda: random.choice(choices)
    values = [None if random.random() < nulls else draw() for _ in range(ROWS)]
    array = pa.array(values, type=storage)
    return array.cast(type) if storage is not type else array


def table(spec, kinds=NULLS):
    fields, arrays = [], []
    for (name, (type, make, _)), kind in itertools.product(spec.items(), kinds):
        arrays.append(column(type, make, *NULLS[kind]))
        fields.append(pa.field(f"{name}-{kind}", type, nullable=kind != "required"))
    return pa.table(arrays, schema=pa.schema(fields))


def encoding_of(encodings, kind, integers):
    """A decimal in an INT32 or INT64 has the encodings of integers."""
    if integers and STRINGS in encodings:
        encodings = INTEGER
    return encodings[kind % len(encodings)]


def pyarrow_files(folder):
    spec = types()
    whole = table(spec)
    codecs = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
    numbered = enumerate(itertools.product(codecs, ["1.0", "2.0"], ["dict", 0, 1, 2]))
    for n, (codec, page, kind) in numbered:
        as_integers = n % 3 == 1
        how = {"use_dictionary": True, "dictionary_pagesize_limit": 700 if n % 2 else None}
        if kind != "dict":
            encodings = {
                f.name: encoding_of(
                    spec[f.name.split("-")[0]][2], kind,
                    as_integers and pa.types.is_decimal(f.type) and f.type.precision <= 18,
                )
                for f in whole.schema
            }
            how = {"use_dictionary": False, "column_encoding": encodings}
        pq.write_table(
            whole, folder / f"pyarrow-v{page[0]}-{kind}-{codec}.parquet", compression=codec,
            data_page_version=page, row_group_size=300, data_page_size=[400, 20000][n % 2],
            write_batch_size=[40, 1024][n % 2], write_page_index=n % 3 == 0, write_page_checksum=n % 5 == 0,
            store_decimal_as_integer=as_integers, store_schema=n % 4 != 3, **how,
        )
    moments = table({k: v for k, v in spec.items() if k.startswith(("ts_", "utc_"))})
    for codec, page, dictionary in itertools.product(codecs, ["1.0", "2.0"], [True, False]):
        pq.write_table(
            moments, folder / f"pyarrow-int96-v{page[0]}-{dictionary}-{codec}.parquet", compression=codec,
            data_page_version=page, use_dictionary=dictionary, row_group_size=300, data_page_size=400,
            write_batch_size=40, use_deprecated_int96_timestamps=True,
        )
    # Of more than one tile of the device's, with and without borders of pages in it.
    long = pa.concat_tables([whole.select([n for n in whole.column_names if n.startswith(("i64", "text", "bool"))])] * 12)
    for page, size in itertools.product(["1.0", "2.0"], [3000, 1 << 20]):
        pq.write_table(long, folder / f"pyarrow-long-v{page[0]}-{size}.parquet", data_page_version=page, data_page_size=size)
    nested = pa.table({"l": [[1, 2], None, []] * 100, "s": [{"x": 1}] * 300, "flat": list(range(300)), "null": pa.nulls(300)})
    pq.write_table(nested, folder / "pyarrow-nested.parquet")


def duckdb_files(folder, source):
    connection = duckdb.connect()
    # Types that DuckDB alone has, or stores otherwise; `i` numbers the rows.
    own = {
        "huge": "(i * 10000000000)::HUGEINT", "uhuge": "(i * 3)::UHUGEINT", "tiny": "(i % 200)::UTINYINT",
        "id": "uuid()", "interval": "INTERVAL (i) DAY + INTERVAL (i) SECOND",
        "at_s": "(TIMESTAMP '2020-01-01' + INTERVAL (i) SECOND)::TIMESTAMP_S",
        "at_ms": "(TIMESTAMP '2020-01-01' + INTERVAL (i) SECOND)::TIMESTAMP_MS",
        "at_ns": "(TIMESTAMP '2020-01-01' + INTERVAL (i) SECOND)::TIMESTAMP_NS",
        "at_zone": "(TIMESTAMP '2020-01-01' + INTERVAL (i) SECOND)::TIMESTAMPTZ",
        "time": "TIME '00:00:01' + INTERVAL (i) SECOND", "timetz": "(TIME '00:00:01' + INTERVAL (i) SECOND)::TIMETZ",
        "dec4": "(i % 90)::DECIMAL(4,1)", "dec38": "i::DECIMAL(38,9) / 7", "word": "'w' || i % 7",
        "color": "(['red', 'green', 'blue'])[1 + i % 3]::ENUM ('red', 'green', 'blue')",
        "bits": "(i % 2 = 0)", "blob": "('b' || i)::BLOB",
    }
    wanted = {"none": "TRUE", "some": "i % 5 <> 2", "most": "i % 25 = 3", "all": "FALSE"}
    columns = ", ".join(
        f'CASE WHEN {when} THEN {value} END AS "{name}-{kind}"'
        for (name, value), (kind, when) in itertools.product(own.items(), wanted.items())
    )
    sources = {"read": f"SELECT * FROM read_parquet('{source}')", "own": f"SELECT {columns} FROM range({ROWS}) t(i)"}
    codecs = ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"]
    for (name, query), codec, version, dictionary in itertools.product(
        sources.items(), codecs, ["V1", "V2"], [True, False]
    ):
        target = folder / f"duckdb-{name}-{codec}-{version}-{dictionary}.parquet"
        limit = "" if dictionary else ", DICTIONARY_SIZE_LIMIT 0"
        connection.execute(
            f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION {codec}, PARQUET_VERSION {version}{limit})"
        )
    target = folder / "duckdb-long.parquet"
    connection.execute(f"COPY (SELECT {columns} FROM range(5000) t(i)) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")


def polars_files(folder, source):
    frame = polars.read_parquet(source)
    for codec, size in itertools.product(["uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"], [300, 20000]):
        frame.write_parquet(
            folder / f"polars-{codec}-{size}.parquet", compression=codec, row_group_size=300, data_page_size=size
        )
    long = polars.concat([frame.select("i64-some", "text-some", "text-none", "bool-most")] * 12)
    long.write_parquet(folder / "polars-long.parquet", data_page_size=3000)


def main():
    random.seed(20)
    folder = pathlib.Path(sys.argv[1])
    pyarrow_files(folder)
    # What all three know: no decimals of more than 38 digits, no halves, no time of day in parts.
    left_out = ("dec50", "dec76", "dec_", "f16", "word", "view", "bytes_view", "uuid", "span", "time_s", "time_ns")
    shared = table({k: v for k, v in types().items() if not k.startswith(left_out)})
    source = folder / "source"
    pq.write_table(shared, source)
    duckdb_files(folder, source)
    polars_files(folder, source)
    source.unlink()
    print(len(list(folder.glob("*.parquet"))), "files")


main()
