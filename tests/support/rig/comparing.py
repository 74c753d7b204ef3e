"""`compare run` and `compare repair`, and what their reports have to be like."""

import json
import os

from .json_schema import check_schema

SCHEMA_FILE = os.path.join(os.path.dirname(__file__), "..", "..", "..", "schemas", "report.schema.json")


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
