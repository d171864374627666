"""Runs SQL on DuckDB or Polars for `staffa bench`.

One JSON object a line on standard input, one answer a line on standard output:

    {"op": "open", "engine": "duckdb" | "polars", "threads": n, "memory_bytes": n | null,
     "tables": [{"name": "..", "path": ".."}, ..]}         -> {"version": ".."} | {"missing": ".."}
    {"op": "run", "sql": "..", "result": "path" | null}    -> {"seconds": s, "rows": n}

Any failure is answered with {"error": ".."}. `seconds` is from the SQL text to the whole answer in
Arrow memory; writing it to `result` (an Arrow IPC file) is not counted.
"""

import json
import os
import sys
import time
import warnings

warnings.simplefilter("ignore")


class DuckDB:
    def __init__(self, request):
        import duckdb
        import pyarrow.ipc

        self.ipc, self.version = pyarrow.ipc, duckdb.__version__
        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {int(request['threads'])}")
        if request["memory_bytes"] is not None:
            self.connection.execute(f"SET memory_limit = '{int(request['memory_bytes'])}B'")
        for table in request["tables"]:
            name = table["name"].replace('"', '""')
            files = parquet_files(table["path"]).replace("'", "''")
            self.connection.execute(
                f"CREATE VIEW \"{name}\" AS SELECT * FROM read_parquet('{files}')"
            )

    def run(self, sql):
        answer = self.connection.sql(sql)
        arrow = getattr(answer, "to_arrow_table", None) or answer.fetch_arrow_table
        return arrow()

    def rows(self, answer):
        return answer.num_rows

    def write(self, answer, path):
        with self.ipc.new_file(path, answer.schema) as file:
            file.write_table(answer)


class Polars:
    def __init__(self, request):
        # Read once, when the package is loaded.
        os.environ["POLARS_MAX_THREADS"] = str(int(request["threads"]))
        import polars

        self.polars, self.version = polars, polars.__version__
        frames = {t["name"]: polars.scan_parquet(parquet_files(t["path"])) for t in request["tables"]}
        self.context = polars.SQLContext(frames)

    def run(self, sql):
        return self.context.execute(sql).collect(engine="streaming")

    def rows(self, answer):
        return answer.height

    def write(self, answer, path):
        answer.write_ipc(path, compat_level=self.polars.CompatLevel.oldest())


def parquet_files(path):
    return os.path.join(path, "*.parquet") if os.path.isdir(path) else path


def open_engine(request):
    kinds = {"duckdb": DuckDB, "polars": Polars}
    return kinds[request["engine"]](request)


def run(engine, request):
    start = time.perf_counter()
    answer = engine.run(request["sql"])
    seconds = time.perf_counter() - start
    if request["result"] is not None:
        engine.write(answer, request["result"])
    return {"seconds": seconds, "rows": engine.rows(answer)}


def main():
    # What the engines print themselves goes to standard error, never between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    engine = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["op"] == "open":
                engine = open_engine(request)
                answer = {"version": engine.version}
            else:
                answer = run(engine, request)
        except ImportError as error:
            answer = {"missing": str(error)}
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Polars is no Exception
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
