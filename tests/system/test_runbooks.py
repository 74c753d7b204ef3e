"""What docs/ tells people to type: every command, option, event, metric, statement and piece of configuration of every page. Commands of the runbooks are run
against a pipeline that runs (test_pages runs the tutorial and the how-tos from their first line to their last)."""

import os
import re
import subprocess

import psycopg
import pytest

from rig import Postgres, Workdir, free_port, run_crossfade, wait_until
from rig.mariadb import MariaDB
from rig.pages import ROOT, blocks
from rig.runbooks import DOCS, commands, configurations, pages, spans, statements, ways
from rig.scenario import scenario

COMPLETION = os.path.join(ROOT, "deploy", "completion", "crossfade.bash")
# {as one would say it: (its arguments, where it stands)}
FOUND = {" ".join(argv): (argv, f"{page}:{line}") for page in pages() for line, text in commands(page) for argv in ways(text)}


def read(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as f:
        return f.read()


# -- names

OPTIONS = set(re.findall(r"(?m)^### `([a-z_.]+)`", read("CONFIG.md")))
SECTIONS = {name.partition(".")[0] for name in OPTIONS if "." in name}
# Words with a dot that begin as an option and are none, in their pages: fields of records, values of the chart, events of the audit chain, patterns, files.
OTHER_DOTTED = {"": r"(source|capture|apply|compare|cutover|schema|control|journal|target|alerts|log)\.(c|h)|schema\.(table|name)(\.column)?|cutover\.(gates|prepared|step|resumed|decision|error)|control\.pause",
                "ARCHITECTURE.md": r"source\.snapshot", "COMPARE.md": r"source\.snapshot", "DEBEZIUM.md": r"source\.(schema|table|snapshot|sequence|ts_ns|ts_|lsn|thread)",
                "KUBERNETES.md": r"(apply\.shards|(reverse|cutover|capture|apply)\.enabled|cutover\.confirm)"}


@pytest.mark.parametrize("page", pages())
def test_options_are_there(page):
    wrong = []
    for line, text in spans(page):
        for word in re.findall(r"(?<![\w./<>-])([a-z]+(?:\.[a-z_]+)+)(?![\w(])", text):
            known = any(name == word or name.startswith(word.rstrip("_") + ".") or name.startswith(word) and word.endswith("_") or word.startswith(name + ".") for name in OPTIONS)
            other = any(re.fullmatch(pattern, word) for pattern in (OTHER_DOTTED[""], OTHER_DOTTED.get(page, "$^")))
            if word.partition(".")[0] in SECTIONS and not known and not other:
                wrong.append(f"{page}:{line}: {word}")
    assert len(OPTIONS) > 200 and not wrong, "\n".join(wrong)


def test_metrics_are_there():
    """Those that runbooks name; names of tables and roles look alike, and are in the scripts that make them."""
    known = set(re.findall(r"`(crossfade_\w+)`", read("METRICS.md")))
    made = ""
    for folder, _, names in os.walk(ROOT):
        if os.path.relpath(folder, ROOT).split(os.sep)[0] in ("schemas", "deploy", "lib", "cutover"):
            for name in names:
                if name.endswith((".sql", ".c", ".h")):
                    with open(os.path.join(folder, name), encoding="utf-8") as f:
                        made += f.read()
    wrong = [f"{page}:{line}: {text}" for page in pages() for line, text in spans(page)
             if re.fullmatch(r"crossfade_[a-z_]+", text) and re.sub(r"_(bucket|sum|count)$", "", text) not in known and text not in made and page not in ("ARCHITECTURE.md", "PERFORMANCE.md")]
    assert len(known) > 40 and not wrong, "\n".join(wrong)


# -- commands, without a server

def verbs(*words):
    """What bash's completion, made from the table of commands, offers behind these words."""
    ask = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; _crossfade; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "--norc", "-uc", ask, "bash", COMPLETION, "crossfade", *words, ""], cwd="/", capture_output=True, text=True, timeout=60, check=True)
    return {word for word in done.stdout.split() if not word.startswith("-")}


@pytest.fixture(name="nowhere", scope="module")
def fixture_nowhere():
    """A configuration whose servers nobody is at."""
    with Workdir("runbooks") as folder:
        path = os.path.join(folder, "crossfade.yaml")
        port = free_port()
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'pipeline: shop\nsource: {{url: "postgresql://x@127.0.0.1:{port}/x"}}\ntarget: {{url: "postgresql://x@127.0.0.1:{port}/x"}}\njournal: {{url: "lmdb:{folder}/journal"}}\n')
        yield path


@pytest.mark.parametrize("command", FOUND)
def test_command_is_understood(nowhere, command):
    """Its verbs are there, and each of its flags: one that is not there, put behind them, is all that is wrong."""
    argv, where = FOUND[command]
    done = run_crossfade(*argv, "--no-such.option=1", config=nowhere)
    said = done.stderr.strip().splitlines()
    if argv[0] == "docs":  # it reads no configuration
        assert "unknown" not in done.stderr, f"{where}: {done.stderr}"
    else:
        assert done.returncode == 2 and len(said) == 1 and "no-such.option" in said[0], f"{where}: {command}\n{done.stdout}{done.stderr}"
    words = [word for word in argv if word != "--reverse"]
    assert words[0] in verbs() | {"docs"}, where
    offered = verbs(words[0])
    if offered and len(words) > 1 and not words[1].startswith("-") and words[0] != "approve":
        assert words[1] in offered, f"{where}: crossfade {words[0]} knows {sorted(offered)}"


def test_flags_are_there():
    """Those that stand alone in the text are of some command, or options."""
    known = set(re.findall(r"\*' (--[a-z_.-]+)'", read_file(COMPLETION))) | set(re.findall(r"--[a-z][a-z_.-]*", read_file(COMPLETION)))
    foreign = {"CONTAINERS.md", "KUBERNETES.md", "ARCHITECTURE.md", "PERFORMANCE.md", "SOAK.md", "SECURITY.md", "SYSTEMD.md"}  # docker's, helm's, systemctl's, and those of programs in tools/
    wrong = [f"{page}:{line}: {text}" for page in pages() if page not in foreign for line, text in spans(page) for flag in re.findall(r"^(--[a-z][a-z_.-]*)", text)
             if flag not in known and flag.removeprefix("--") not in OPTIONS]
    assert len(known) > 40 and not wrong, "\n".join(wrong)


def read_file(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


# -- pieces of the configuration

KEY = "MCowBQYDK2VwAyEA" + "A" * 42 + "A="
ELSEWHERE_READ = {"KUBERNETES.md", "TUTORIAL.md", *(name for name in pages() if name.startswith("howto"))}  # values of the chart: test_chart; whole ones: test_pages


def pieces():
    found = [(page, line, text) for page in pages() if page not in ELSEWHERE_READ for line, text in configurations(page)]
    for page in ("OPERATIONS.md",):
        for block in re.finditer(r"(?m)(?:^    .*\n)+", read(page)):
            text = re.sub(r"(?m)^    ", "", block[0])
            if re.match(r"(cutover|source|capture|apply|journal):", text):
                found.append((page, read(page).count("\n", 0, block.start()) + 1, text))
    return found


@pytest.mark.parametrize("page, line, text", pieces(), ids=[f"{page}:{line}" for page, line, _ in pieces()])
def test_configuration_is_understood(tmp_path, page, line, text):
    path = tmp_path / "crossfade.yaml"
    path.write_text(text.replace("MCowBQYDK2VwAyEA…", KEY).replace("queries: [...]", 'queries: ["SELECT 1"]'))
    more = [f"--{key}={value}" for key, value in (("pipeline", "shop"), ("source.url", "postgresql://x@127.0.0.1:9/x"), ("target.url", "postgresql://x@127.0.0.1:9/x"), ("journal.url", "lmdb:/nowhere/j"))
            if key.partition(".")[2] not in text or not re.search(rf"(?m)^{key.partition('.')[0]}:", text)]
    (tmp_path / "secret").write_text("x")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path), **dict.fromkeys(re.findall(r"\$\{?([A-Z_]+)", text), "7777")}
    for name in re.findall(r"\$\{credential(?:-url)?:([a-z-]+)", text):
        (tmp_path / name).write_text("p@ss")
    done = run_crossfade("status", "--json", *more, config=path, env=env)
    assert done.returncode != 2, f"{page}:{line}\n{done.stderr}"


# -- commands and statements, for real

SCHEMA = """CREATE TABLE orders (id int, created_at date, region text, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE orders_2026_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE orders_rest PARTITION OF orders DEFAULT;
INSERT INTO orders SELECT i, date '2025-07-01' + i % 365, 'eu' FROM generate_series(1, 500) i"""
LATER = "CREATE TABLE public.t (id int PRIMARY KEY, v text, w text)"

# Run in this order, each with the exit code that it ends with.
STEPS = [
    ("status", 0), ("status --json", 0), ("status --wait caught-up", 0), ("status --wait caught-up --timeout 120", 0), ("status --wait caught-up --timeout 300", 0), ("check", 0),
    ("journal list", 0), ("journal fences --json", 0), ("journal cat shop.schemas", 0), ("journal cat shop.public.orders", 0), ("journal verify", 0),
    ("capture add-table public.t", 0), ("status --wait caught-up", 0), ("capture resnapshot public.t --where p.id > 1000", 0), ("capture resnapshot public.t", 0), ("capture resnapshot t", 0),
    ("status --wait caught-up", 0), ("capture accept-ddl --table public.t", 10),
    ("capture reload", 0), ("apply reload", 0), ("apply pause", 0), ("apply resume", 0), ("apply throttle 500", 0), ("apply dlq list", 0), ("apply conflicts list", 0), ("apply conflicts list --all", 0),
    ("schema plan", 0), ("schema compare", 0), ("schema create", 0), ("schema create --execute", 0), ("schema create --indexes --execute", 0), ("schema create --indexes --wait --execute", 0),
    ("compare selftest", 0), ("compare run", 0), ("compare run --level full", 0), ("compare run --level counts", 0), ("compare run --table public.ord*", 0), ("compare run --table public.orders --where created_at >= '2026-01-01'", 0),
    ("compare run --by-partition", 0), ("compare run --changed", 0), ("compare run --resume", 0), ("compare run --verbose", 0), ("compare run --json", 0), ("compare run --junit x.pem", 0),
    ("compare shadow", 0), ("compare shadow --live", 0), ("compare shadow --seed 4711", 0), ("compare history --json", 0), ("compare history --html x.pem", 0),
    ("compare repair --through-journal", 0), ("compare repair --through-journal --execute", 0), ("compare repair --sql x.pem", 0), ("compare repair --sql x.pem --execute", 0),
    ("cutover plan", 0), ("cutover plan --json", 0), ("cutover list", 0), ("audit list", 0), ("audit export", 0), ("audit verify", 0),
    ("approve list", 0), ("decommission status", 1), ("rollback plan", 10), ("rollback rehearse", 0), ("cleanup", 1),
]
SWITCH = [  # behind it the source takes no writes
    ("cutover run", 0), ("cutover run --execute", 0), ("cutover status", 0), ("cutover list", 0), ("cutover report", 0), ("audit verify", 0), ("decommission status", 1), ("cutover abort", 10), ("cutover resume", 10),
]
# Named in the text for what they are about, without what they need to be run; tests/system/… runs them with it.
NAMED = {"apply", "capture", "compare", "cutover", "rollback", "schema", "journal", "approve", "decommission", "apply dlq", "apply dlq show", "apply dlq retry", "apply conflicts show", "apply conflicts resolve",
         "journal cat", "capture add-table", "capture resnapshot", "capture accept-ddl", "compare repair", "compare repair --delete-extra", "status --wait", "docs alerts", "docs config", "cutover report 1"}
# Run by tests of their own: they need another situation, or never end.
ELSEWHERE = {
    "status --watch": "test_status_watch.py", "cutover watch": "test_cutover_watch.py", "cutover watch --execute": "test_cutover_watch.py", "compare watch": "test_compare_watch.py",
    "capture run": "test_booted.py", "apply run": "test_booted.py", "--reverse capture run": "test_reverse_loop.py", "capture drain": "test_control.py", "apply drain": "test_control.py",
    "approve ticket --note CHG-1234 --key anna.pem": "test_approvals.py", "approve backup --note restored on db9 --key anna.pem": "test_approvals.py", "approve rehearsal --key anna.pem": "test_approvals.py",
    "approve rehearsal --key x.pem": "test_approvals.py", "approve revoke n": "test_approvals.py", "rollback resume": "test_rollback_kills.py", "--reverse compare run": "test_rollback.py",
    "--reverse audit list": "test_rollback.py", "--reverse status": "test_rollback.py", "--reverse cleanup": "test_cleanup.py",
    "--reverse check": "test_reverse_mariadb.py", "--reverse compare": "test_reverse_mariadb.py", "--reverse audit verify": "test_rollback.py",
    "rollback rehearse --execute": "test_rollback_rehearse.py", "journal follow shop.fence": "test_journal_kafka.py",
    "rollback abort": "test_rollback_mariadb.py", "rollback status": "test_rollback_mariadb.py",
}
_HASH = "0" * 64
ELSEWHERE |= {f"approve second_person --plan {_HASH} --key bo.pem": "test_approvals.py", f"audit verify --expect 1:{_HASH}": "test_audit.py", f"audit verify --expect 12:{_HASH}": "test_audit.py",
              "cutover run --execute --confirm shop": "test_approvals.py", "rollback run --execute --confirm shop": "test_rollback.py"}


def typed_in_guides():
    """Commands that test_pages runs."""
    found = set()
    for page in ("TUTORIAL.md", *(f"howto/{name}" for name in os.listdir(os.path.join(DOCS, "howto")))):
        for _, language, text in blocks(os.path.join(DOCS, page)):
            found |= {line.strip() for line in text.split("\n")} if language == "sh" else set()
    return {" ".join(argv) for page in pages() if page == "TUTORIAL.md" or page.startswith("howto") for _, text in commands(page) if any(text in line for line in found) for argv in ways(text)}


def test_every_command_is_run_somewhere():
    run = {command for command, _ in STEPS + SWITCH} | NAMED | typed_in_guides() | set(ELSEWHERE)
    assert not {f"{command} ({where})" for command, (_, where) in FOUND.items() if command not in run}
    unknown = ({command for command, _ in STEPS + SWITCH} | NAMED | set(ELSEWHERE)) - set(FOUND)
    assert not unknown - {"audit verify"}, f"in no page any more: {unknown}"
    for name in set(ELSEWHERE.values()):
        assert os.path.exists(os.path.join(ROOT, "tests", "system", name)), name


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("runbooks") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


MORE = {"cutover": {"lag_stable_ms": 200, "max_lag_ms": 10000, "pause_budget_ms": 120000}, "compare": {"shadow": {"queries": ["SELECT count(*) FROM orders"], "duration_s": 2}}}


def step(s, command, code):
    """What is wrong with it; None when it does what its page says."""
    argv, where = FOUND[command]
    done = s.pipeline.run(*argv, timeout=300)
    if done.returncode == code and "Sanitizer" not in done.stderr:
        return None
    return f"crossfade {command} ({where}): exit code {done.returncode}, not {code}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def take(s, steps):
    wrong = [said for command, code in steps if (said := step(s, command, code))]
    assert not wrong, "\n".join(wrong)


def test_commands_of_the_runbooks(servers, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with scenario(*servers, SCHEMA, name="shop", more=MORE, superuser="a rehearsal makes databases, and schema create what only a superuser may") as s:
        s.start()
        s.source(LATER, "INSERT INTO t SELECT i, 'v', 'w' FROM generate_series(990, 1010) i")
        s.target(LATER)
        take(s, STEPS)
        statements_of_operations(s)
        take(s, SWITCH)
        audit_by_hand(s.target_url)
        for role in (s.capture, s.apply):
            role.terminate()
        at_the_end(s)


# Statements of OPERATIONS.md that are whole: where they are run, and the pipeline may go on behind it.
SOURCE, TARGET = "source", "target"
WHOLE = {
    "SELECT slot_name, stream_bytes FROM pg_stat_replication_slots": SOURCE, "SELECT * FROM pg_replication_origin": TARGET,
    "SELECT * FROM pg_prepared_xacts WHERE gid LIKE 'crossfade:%'": TARGET, "SELECT pg_log_standby_snapshot()": "PostgreSQL 16 and later: test_failover.py",
    "SELECT * FROM crossfade.direct_chunk": "a direct load: test_direct_load.py", "UPDATE t SET w = w": SOURCE,
    "DELETE FROM crossfade.position WHERE pipeline = '…'": TARGET, "SELECT … FROM crossfade.position WHERE pending IS NULL": TARGET,
    "ALTER TABLE … REPLICA IDENTITY FULL": SOURCE, "DELETE … WHERE state <> 'held'": TARGET, "DELETE … WHERE state <> 'open'": "a dual write: test_dual_write.py",
    "ALTER PUBLICATION crossfade_<pipeline> ADD TABLE …": SOURCE, "UPDATE t SET new = old WHERE new IS NULL": TARGET,
    "GRANT SET ON PARAMETER session_replication_role": TARGET, "GRANT SET ON PARAMETER session_replication_role TO …": TARGET,
    "GRANT EXECUTE ON FUNCTION pg_log_standby_snapshot() TO": "PostgreSQL 16 and later: test_failover.py",
    "XA RECOVER": "mariadb", "SET GLOBAL tcp_keepalive_time = 30, tcp_keepalive_interval = 10, tcp_keepalive_probes = 3": "mariadb",
    "INSERT INTO crossfade_marker (pipeline, nonce, kind) VALUES ('shop_back', 'some-nonce', 'ping')": "MariaDB as a source: test_maria_source.py",
    "ALTER PUBLICATION crossfade_<pipeline>_reverse ADD TABLE …": "the way back: test_rollback.py",
    "ALTER SYSTEM SET max_slot_wal_keep_size": SOURCE, "DELETE FROM crossfade_marker WHERE kind = 'begun'": "the way back from MariaDB: test_reverse_mariadb.py",
    "UPDATE crossfade_decision SET state = 'returned' WHERE pipeline = '<pipeline>_reverse'": "a rollback from MariaDB: test_rollback_mariadb.py",
    "DROP TABLE crossfade_decision, crossfade_marker": "a rollback from MariaDB: test_rollback_mariadb.py",
}
# Those that end a pipeline, in a block of its runbook.
LAST = {"SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE starts_with(roname, 'crossfade:shop:')": TARGET,
        "SELECT pg_drop_replication_slot('crossfade_shop')": SOURCE, "DROP PUBLICATION crossfade_shop": SOURCE,
        "SELECT pg_drop_replication_slot('crossfade_<pipeline>')": "the same as below"}
# Kinds of statements, and commands of PgBouncer's console.
KINDS = {"CREATE SEQUENCE", "ALTER SEQUENCE", "CREATE ROLE", "DROP COLUMN old", "ALTER COLUMN … TYPE", "ALTER DATABASE … SET", "DROP TRIGGER", "SHOW POOLS", "SHOW DATABASES", "SHOW STATS"}
FILLED = {"<pipeline>": "shop", "pipeline = '…'": "pipeline = 'shop'", "SELECT … FROM crossfade.position": "SELECT * FROM crossfade.position", "ALTER TABLE …": "ALTER TABLE orders_rest",
          "DELETE … WHERE state <> 'held'": "DELETE FROM crossfade.dead_letter WHERE state <> 'held'",
          "ADD TABLE …": "ADD TABLE later", "session_replication_role TO …": "session_replication_role TO CURRENT_USER", "UPDATE t SET new = old WHERE new": "UPDATE t SET w = v WHERE w"}


def test_statements_are_known():
    found = {text for _, text in statements("OPERATIONS.md")}
    assert found == set(WHOLE) | set(LAST) | KINDS, found ^ (set(WHOLE) | set(LAST) | KINDS)


def filled(text):
    for place, what in FILLED.items():
        text = text.replace(place, what)
    return text + {"GRANT SET ON PARAMETER session_replication_role": " TO CURRENT_USER", "ALTER SYSTEM SET max_slot_wal_keep_size": " = '10GB'"}.get(text, "")


def statements_of_operations(s):
    """Each in a transaction that is rolled back, but for those that no transaction may have."""
    urls = {SOURCE: s.source_url, TARGET: s.target_url}
    s.admin("CREATE TABLE later (id int PRIMARY KEY)")
    wrong = []
    for text, where in WHOLE.items():
        if where in urls:
            with psycopg.connect(urls[where], autocommit=text.startswith("ALTER SYSTEM")) as connection:
                try:
                    connection.execute(filled(text))
                except psycopg.Error as error:
                    wrong.append(f"{text}: {error}")
                connection.rollback()
    s.admin("DROP TABLE later")
    assert not wrong, "\n".join(wrong)


def audit_by_hand(url):
    """The chain checked in SQL, as the page has it: nothing where it is whole, the row where it is not."""
    (_, _, query), = [one for one in blocks(os.path.join(DOCS, "OPERATIONS.md")) if one[1] == "sql"]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM crossfade.audit").fetchone()[0] > 5
        assert connection.execute(query).fetchall() == []
        connection.execute("ALTER TABLE crossfade.audit DISABLE TRIGGER ALL")
        connection.execute("UPDATE crossfade.audit SET detail = '{}' WHERE seq = 2")
        assert connection.execute(query).fetchall() == [(2,)]
        connection.rollback()


def at_the_end(s):
    urls = {SOURCE: s.source_url, TARGET: s.target_url}
    for text, where in LAST.items():
        if where in urls:
            with psycopg.connect(urls[where], autocommit=True) as connection:
                wait_until(lambda: not connection.execute("SELECT count(*) FROM pg_replication_slots WHERE active").fetchone()[0], 30, "the slot is free")
                answer = connection.execute(text)
                assert not text.startswith("SELECT") or answer.rowcount > 0, f"{text}: there is nothing"


def test_statements_for_mariadb():
    with Workdir("runbooks-mariadb") as folder, MariaDB(folder, "target") as server:
        for text, where in WHOLE.items():
            if where == "mariadb":
                server.sql(text)
