"""The audit chain as a second implementation sees it: its hash, and ways to spoil it."""

import hashlib
import json

from pymysql.converters import escape_string

COLUMNS = ("seq", "at", "pipeline", "cutover_id", "event", "os_user", "db_user", "host", "detail", "prev_hash", "hash")
FIRST = "0" * 64


def hash_of(row):
    """row: a dict of COLUMNS; at as 2026-01-31T12:34:56.123456Z."""
    parts = ["crossfade audit 1"] + [str(row[name]) for name in ("seq", "prev_hash", "at", "pipeline", "cutover_id", "event", "os_user", "db_user", "host", "detail")]
    text = "".join(f"{len(part.encode())}:{part}," for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def check(rows):
    """That exported rows (dicts) are a whole chain."""
    before = FIRST
    for number, row in enumerate(rows, 1):
        assert row["seq"] == number and row["prev_hash"] == before, row
        assert hash_of({**row, "detail": row["detail_text"]}) == row["hash"], row
        assert json.loads(row["detail_text"]) == row["detail"]
        before = row["hash"]


class OnPostgres:
    """crossfade.audit of a database, as its superuser."""
    table, now = "crossfade.audit", "now()"
    at = "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    later = "at + interval '1 microsecond'"

    def __init__(self, server, db):
        self.server, self.db = server, db

    def sql(self, text, params=None):
        return self.server.sql(text, params, db=self.db)

    def rows(self):
        columns = ", ".join(self.at if name == "at" else name for name in COLUMNS)
        return [dict(zip(COLUMNS, row, strict=True)) | {"seq": int(row[0])} for row in self.sql(f"SELECT {columns} FROM {self.table} ORDER BY seq")]

    def insert(self, row):
        marks = ", ".join(self.mark(name) for name in COLUMNS)
        self.sql(f"INSERT INTO {self.table} ({', '.join(COLUMNS)}) VALUES ({marks})", [row[name] for name in COLUMNS])

    @staticmethod
    def mark(name):
        return "%s::timestamptz" if name == "at" else "%s"

    def drop_key(self):
        self.sql("ALTER TABLE crossfade.audit DROP CONSTRAINT audit_pkey")


class OnMariaDB(OnPostgres):
    table, now = "crossfade_audit", "now(6)"
    at = "DATE_FORMAT(at, '%%Y-%%m-%%dT%%H:%%i:%%s.%%fZ')"
    later = "at + INTERVAL 1 MICROSECOND"

    @staticmethod
    def mark(name):
        return "REPLACE(REPLACE(%s, 'T', ' '), 'Z', '')" if name == "at" else "%s"

    def sql(self, text, params=None):
        literals = tuple(str(value) if isinstance(value, int) else "'" + escape_string(value) + "'" for value in params or ())
        return self.server.sql(text % literals, db=self.db)

    def drop_key(self):
        self.sql("ALTER TABLE crossfade_audit DROP PRIMARY KEY")
