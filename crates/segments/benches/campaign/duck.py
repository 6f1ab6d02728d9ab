"""The questions of the benchmark `vault` to DuckDB, over plain Parquet files of the same rows.

Reads lines `<question> <naked|joined> <same|own>`, `reopen` or `end`; writes one line of JSON for each.
*same*: files laid out as the sealed segments. *own*: what DuckDB itself writes of them, sorted by time, with zstd.
"""

import json
import pathlib
import sys
import time

import duckdb

folder = pathlib.Path(sys.argv[1])
UNTIL = 1_767_225_600_000
DAY = 86_400_000
TIME = '"commerce.purchase_time"'
WHERE = {
    "campaign": f"\"commerce.category\" = 'category 07' AND {TIME} BETWEEN {UNTIL - 30 * DAY} AND {UNTIL}",
    "history": "\"commerce.category\" = 'category 07'",
    "features": "true",
}
OUTPUT = {
    "campaign": f"max({TIME}) AS latest",
    "history": f"max({TIME}) AS latest",
    "features": f'count(*) AS records, sum("commerce.amount") AS spent, max({TIME}) AS latest',
}
TOTALS = {"features": ", sum(records) AS records, sum(spent) AS spent"}
FILES = {"same": folder / "plain" / "*.parquet", "own": folder / "own.parquet"}


def connect():
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    for name, setting in {"enable_object_cache": "true", "parquet_metadata_cache": "true"}.items():
        try:
            connection.execute(f"SET {name} = {setting}")
        except duckdb.Error:
            pass  # A version without this setting.
    connection.execute(f"CREATE TABLE consent AS SELECT * FROM '{folder}/consent.parquet'")
    connection.execute(f"CREATE TABLE budget AS SELECT * FROM '{folder}/budget.parquet'")
    return connection


def question(name, way, files):
    joins = ""
    where = WHERE[name]
    if way == "joined":
        joins = "JOIN consent USING (person) JOIN budget USING (person)"
        where += " AND granted AND remaining >= 10"
    inner = f"SELECT person, {OUTPUT[name]} FROM read_parquet('{FILES[files]}') {joins} WHERE {where} GROUP BY person"
    return f"SELECT count(*), sum(latest){TOTALS.get(name, '')} FROM ({inner})"


def answer(**fields):
    print(json.dumps(fields), flush=True)


database = connect()
database.execute(
    f"COPY (SELECT * FROM read_parquet('{FILES['same']}') ORDER BY {TIME}, person, sequence) "
    f"TO '{FILES['own']}' (FORMAT parquet, COMPRESSION zstd)"
)
answer(version=duckdb.__version__, own_bytes=FILES["own"].stat().st_size)
for line in sys.stdin:
    words = line.split()
    if words == ["end"]:
        break
    if words == ["reopen"]:
        database.close()
        database = connect()
        answer()
        continue
    text = question(*words)
    start = time.perf_counter_ns()
    row = database.execute(text).fetchone()
    took = time.perf_counter_ns() - start
    answer(nanos=took, people=str(row[0]), latest=str(row[1] or 0))
