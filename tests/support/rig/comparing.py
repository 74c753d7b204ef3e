"""`compare run` and `compare repair`, and what their reports have to be like."""

import json
import os

from .json_schema import check_schema

SCHEMA_FILE = os.path.join(os.path.dirname(__file__), "..", "..", "..", "schemas", "report.schema.json")
# By time and by a list, one of it partitioned once more: what comparisons of some partitions are tried with.
PARTITIONED = """CREATE TABLE log (id int, at timestamptz, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (MINVALUE) TO ('2026-01-02 00:00+00');
    CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2026-01-02 00:00+00') TO ('2026-01-03 00:00+00');
    CREATE TABLE log_rest PARTITION OF log DEFAULT;
    INSERT INTO log SELECT i, timestamptz '2026-01-01 00:00+00' + i * interval '15 minutes', 'v' || i FROM generate_series(0, 383) i;
    CREATE TABLE place (id int, land text, PRIMARY KEY (id, land)) PARTITION BY LIST (land);
    CREATE TABLE place_de PARTITION OF place FOR VALUES IN ('de', 'at');
    CREATE TABLE place_fr PARTITION OF place FOR VALUES IN ('fr') PARTITION BY RANGE (id);
    CREATE TABLE place_fr_1 PARTITION OF place_fr FOR VALUES FROM (0) TO (50);
    CREATE TABLE place_fr_2 PARTITION OF place_fr FOR VALUES FROM (50) TO (1000);
    INSERT INTO place SELECT i, (ARRAY['de', 'at', 'fr'])[i % 3 + 1] FROM generate_series(1, 300) i"""


def compare(p, *words, code=0, timeout=300):
    """Runs a comparison that ends with this exit code (or one of these); its report, which keeps to the published schema, or what it said on stderr if there is none."""
    done = p.run("compare", "run", "--json", *words, timeout=timeout)
    assert done.returncode in (code if isinstance(code, tuple) else (code,)), f"exit code {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    if not done.stdout:
        return done.stderr
    report = json.loads(done.stdout)
    with open(SCHEMA_FILE, encoding="utf-8") as f:
        check_schema(json.load(f), report)
    return report


KINDS = ("missing", "changed", "extra")


def repair(p, *words, code=0, timeout=240, job=None):
    """Runs a repair that ends with this exit code; what it says as JSON, or on stderr where it could not be carried out."""
    done = p.run("compare", "repair", "--json", *words, timeout=timeout, job=job)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return json.loads(done.stdout) if code != 4 and done.stdout else done.stderr


def of_tables(report, what):
    """{table: (missing, changed, extra)} of what a repair has `found` or `repaired`."""
    return {t["table"]: tuple(t[what][kind] for kind in KINDS) for t in report["tables"]}
