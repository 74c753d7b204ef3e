"""Names that break out of SQL, logs, pages and terminals where something is not quoted: schemas, tables, columns, sequences, constraints, from the copy to the
cutover; and rows of the same kind."""

import contextlib
import html.parser
import json
import os
import pty
import re
import subprocess
import threading

import psycopg
import pytest
from psycopg import sql

from rig import Postgres, Workdir, find_crossfade
from rig.scenario import scenario

SCHEMA = 'S "x"\'; DROP SCHEMA public; -- %s%n{0}'
NAMES = {
    "markup": "<script>alert(1)</script>&amp;\"'",
    "terminal": "\x1b[31mred\x1b]0;title\x07\x9b2J\r\nline\ttab",
    "format": "%s%n%1$s {0} ${HOME} $(id) `id` \\' \\\\",
    "long": "ü" * 31 + "x",  # 63 bytes
    "select": "select",
    "bidi": "abc\u202edcba\u2066.",
}
SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "drain_timeout_s": 60, "straggler_grace_ms": 300, "freeze_timeout_ms": 4000}
ROW = "\x1b[2J<script>alert('row')</script>%s%n'\";--\n\r\t\u202e\x9b"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # what a terminal may obey; a line's end and a tab are ours


def literal(text):
    return "'" + text.replace("'", "''") + "'"


OWN = re.compile(r"\x1b\[(?:[0127]|3[1-6])m|\r?\x1b\[K")


class Page(html.parser.HTMLParser):
    """The text of a page, and the elements that are none of ours."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.text = [], []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        assert not [name for name, _ in attributes if name.startswith("on")], attributes

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        (self.scripts if self.inside == "script" else self.text).append(data)


@pytest.fixture(name="s", scope="module")
def fixture_s():
    with Workdir("names") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        def quoted(*parts):
            with source.connect() as connection:
                return sql.Identifier(*parts).as_string(connection)
        made = [f"CREATE SCHEMA {quoted(SCHEMA)}"]
        for name in NAMES.values():
            made.append(f"CREATE TABLE {quoted(SCHEMA, name)} ({quoted('k' + name[:20])} int, {quoted(name)} text, \"order\" int, CONSTRAINT {quoted('c' + name[:25])} PRIMARY KEY ({quoted('k' + name[:20])}))")
            made.append(f"CREATE SEQUENCE {quoted(SCHEMA, 'q' + name[:25])}")
        with scenario(folder, source, target, ";".join(made), ";".join(made), tables=("*.*",), more={"cutover": SETTINGS, "apply": {"on_row_error": "dead_letter"}}) as s:
            s.folder, s.quoted = folder, quoted
            for name in NAMES.values():
                with source.connect(s.name) as connection:
                    connection.execute(f"INSERT INTO {quoted(SCHEMA, name)} SELECT i, {literal(ROW)} || i, i FROM generate_series(1, 20) i")
                    connection.execute(f"SELECT setval({literal(quoted(SCHEMA, 'q' + name[:25]))}::regclass, 77)")
            yield s


def harmless(text, where):
    found = CONTROL.search(text)
    assert not found, f"{where}: {text[max(0, found.start() - 200):found.end() + 60]!r}"


def said(s, *words, expected=0):
    """What the command writes into a terminal: only what we let it obey."""
    ours, theirs = pty.openpty()
    text = []

    def read():
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 65536):
                text.append(piece)

    reader = threading.Thread(target=read)
    with subprocess.Popen([find_crossfade(), "-c", s.pipeline.config_of(words[0]), *words], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as child:
        os.close(theirs)
        reader.start()
        code = child.wait(300)
    reader.join()
    os.close(ours)
    shown = b"".join(text).decode().replace("\r\n", "\n")
    assert code == expected, f"{words}: {code}\n{shown[-3000:]}"
    harmless(OWN.sub("", shown), words)
    return shown


def machine(s, *words):
    """As a program reads it: exact."""
    done = s.pipeline.run(*words)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def assert_equal(s):
    """Of its own: the rig's oracle writes names into lines."""
    s.wait()
    for name in NAMES.values():
        question = f"SELECT * FROM {s.quoted(SCHEMA, name)} ORDER BY 1"
        rows = [server.sql(question, db=s.name) for server in (s.source_server, s.target_server)]
        assert rows[0] == rows[1] and len(rows[0]) >= 19, name


def test_from_the_copy_to_the_cutover(s):
    said(s, "check")
    said(s, "schema", "plan")
    page = machine(s, "schema", "plan", "--format", "html")
    harmless(page, "schema plan")
    assert not [x for x in Page(page).scripts if "alert" in x]
    s.start()
    for name in NAMES.values():
        with s.source_server.connect(s.name) as connection:
            table, key, column = s.quoted(SCHEMA, name), s.quoted("k" + name[:20]), s.quoted(name)
            connection.execute(f'UPDATE {table} SET {column} = NULL, "order" = -"order" WHERE {key} < 5')
            connection.execute(f"UPDATE {table} SET {key} = {key} + 100 WHERE {key} = 7")
            connection.execute(f"DELETE FROM {table} WHERE {key} = 9")
    assert_equal(s)
    for words in (["status"], ["journal", "list"], ["journal", "fences"], ["journal", "verify"], ["schema", "compare"], ["compare", "run"], ["cutover", "plan"]):
        said(s, *words)
    streams = [json.loads(line) for line in machine(s, "journal", "list", "--json").splitlines()]
    streams = [stream["stream"] for stream in streams if "." in stream["stream"].partition(".")[2]]
    assert len(streams) == len(NAMES), streams
    for stream in streams:
        said(s, "journal", "cat", stream)
    # A row that is refused is told of, and its values are not obeyed either.
    table = s.quoted(SCHEMA, NAMES["terminal"])
    s.target(f"ALTER TABLE {table} ADD CONSTRAINT {s.quoted(NAMES['terminal'][:30])} CHECK (\"order\" < 1000)")
    with s.source_server.connect(s.name) as connection:
        connection.execute(f"INSERT INTO {table} VALUES (5000, {literal(ROW)}, 5000)")
    s.wait()
    said(s, "apply", "dlq", "list")
    letter = json.loads(machine(s, "apply", "dlq", "list", "--json").splitlines()[0])
    assert (letter["schema"], letter["table"]) == (SCHEMA, NAMES["terminal"])
    said(s, "apply", "dlq", "show", str(letter["id"]))
    said(s, "compare", "run", expected=1)
    s.target(f"ALTER TABLE {table} DROP CONSTRAINT {s.quoted(NAMES['terminal'][:30])}")
    said(s, "apply", "dlq", "retry", "--all")
    assert_equal(s)
    # A difference, in the terminal and in the pages.
    s.target(f"UPDATE {table} SET \"order\" = 4 WHERE \"order\" = 12")
    said(s, "compare", "run", expected=1)
    s.target(f"UPDATE {table} SET \"order\" = 12 WHERE \"order\" = 4")
    said(s, "compare", "run")
    said(s, "cutover", "run", "--execute")
    said(s, "cutover", "status")
    said(s, "cutover", "report")
    said(s, "audit", "list")
    for name in NAMES.values():
        with s.target_server.connect(s.name) as connection:
            assert connection.execute(f"SELECT last_value FROM {s.quoted(SCHEMA, 'q' + name[:25])}").fetchone()[0] >= 77
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), s.source_server.connect(s.name) as connection:
            connection.execute(f'UPDATE {s.quoted(SCHEMA, name)} SET "order" = 0')

    pages = [os.path.join(at, name) for at, _, names in os.walk(s.folder) for name in names if name.endswith(".html")]
    assert len(pages) >= 4, pages
    shown = ""
    for path in pages:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        harmless(text, path)
        page = Page(text)
        assert not [x for x in page.scripts if "alert" in x], path
        shown += "".join(page.text)
    assert NAMES["markup"] in shown and NAMES["long"] in shown
    for role in (s.capture, s.apply):
        harmless(role.log_text(), role.name)
        harmless(role.get("/metrics")[1], "/metrics")
        names = {table["name"] for table in json.loads(role.get("/status")[1]).get("tables", [])}
        assert all(isinstance(name, str) for name in names)
        for line in role.get("/metrics")[1].splitlines():
            assert line.startswith("#") or re.fullmatch(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="([^"\\\n]|\\["\\n])*",?)*\})? \S+', line), line


def test_a_long_text_comes_whole(s):
    assert said(s, "docs", "config") == machine(s, "docs", "config")
