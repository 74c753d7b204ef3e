"""Are two databases equal, and is every acknowledged transaction there? Judged by plain SQL, never by Crossfade's compare."""

import collections
import concurrent.futures
import os

import psycopg
import psycopg.sql

from .postgres import run_psql

_SQL = os.path.join(os.path.dirname(__file__), "oracle.sql")

TableDigest = collections.namedtuple("TableDigest", "rows sha256")


def digest(url):
    """{"schema.table": TableDigest} of all tables of a database, of one snapshot."""
    found = {}
    for line in run_psql(url, "-f", _SQL).splitlines():
        table, rows, sha256 = line.rsplit("|", 2)
        found[table] = TableDigest(int(rows), sha256)
    return found


def compare(source_url, target_url, ignore=()):
    """The differences as a dictionary table → text; empty when every table holds the same rows on both sides."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        source, target = pool.map(digest, (source_url, target_url))
    differences = {}
    for table in sorted((source.keys() | target.keys()) - set(ignore)):
        left, right = source.get(table), target.get(table)
        if left is None or right is None:
            differences[table] = f"only on the {'target' if left is None else 'source'}"
        elif left != right:
            differences[table] = f"{left.rows} rows {left.sha256[:12]} against {right.rows} rows {right.sha256[:12]}"
    return differences


def assert_equal(source_url, target_url, ignore=()):
    """Fails with the tables that differ and up to five rows of each that only one side has."""
    differences = compare(source_url, target_url, ignore)
    if differences:
        lines = [f"{table}: {text}" for table, text in differences.items()]
        for table in differences:
            lines += [f"  {table} {side}: {row[:300]}" for side, row in sample(source_url, target_url, table)]
        raise AssertionError("the databases differ\n" + "\n".join(lines))


def sample(source_url, target_url, table, limit=5):
    """Up to `limit` rows that only one side has (or has more often), as (side, text). For tables that fit in memory."""
    def rows(url):
        schema, _, name = table.partition(".")
        query = psycopg.sql.SQL("SELECT t::text FROM {} t").format(psycopg.sql.Identifier(schema, name))
        try:
            with psycopg.connect(url, options="-c timezone=UTC -c extra_float_digits=1") as connection:
                return collections.Counter(row[0] for row in connection.execute(query))
        except psycopg.errors.UndefinedTable:
            return collections.Counter()
    source, target = rows(source_url), rows(target_url)
    found = [("only on the source", row) for row in list((source - target).elements())[:limit]]
    return found + [("only on the target", row) for row in list((target - source).elements())[:limit]]


def sequences(url):
    """{"schema.sequence": last value, or None when never used}."""
    with psycopg.connect(url) as connection:
        return dict(connection.execute(
            "SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences "
            "WHERE schemaname <> 'crossfade' ORDER BY 1").fetchall())


LedgerCheck = collections.namedtuple("LedgerCheck", "missing unexpected repeated rows")


def check_ledger(url, acknowledged, unknown=(), run_id=None):
    """Compares the clients' list of nonces with simshop_oltp.ledger.

    missing: acknowledged but not there. unexpected: there, though neither acknowledged nor of unknown outcome.
    repeated: there more than once. run_id limits it to the nonces of one run.
    """
    acknowledged, unknown = set(acknowledged), set(unknown)
    with psycopg.connect(url) as connection:
        counts = collections.Counter(row[0] for row in connection.execute(
            "SELECT nonce FROM simshop_oltp.ledger WHERE %s::text IS NULL OR nonce LIKE %s || '-%%'", (run_id, run_id)))
    there = set(counts)
    return LedgerCheck(sorted(acknowledged - there), sorted(there - acknowledged - unknown),
                       sorted(nonce for nonce, n in counts.items() if n > 1), sum(counts.values()))
