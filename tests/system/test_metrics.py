"""What a running capture and apply serve is what Prometheus wants; rules, runbooks and the dashboard name only what is served; the log's events are documented."""

import json
import os
import re
import subprocess

import pytest

from rig import Postgres, Workdir, wait_until
from rig.scenario import scenario

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
DEPLOY = os.path.join(ROOT, "deploy")
PROMTOOL = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossfade", "prometheus", "promtool")
HOSTILE = 'we"ird\n\\%s'
HOSTILE_SQL = '"' + HOSTILE.replace('"', '""') + '"'
VALUE = "rowvalue-7f3a9c"
T = ("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 1500) i;"
     "CREATE TABLE d (id int PRIMARY KEY, v text); INSERT INTO d VALUES (1, 'one');"
     f"CREATE TABLE {HOSTILE_SQL} (id int PRIMARY KEY, v text)")
MORE = {"log": {"format": "json"}, "capture": {"max_rows_per_second": 1000, "max_retained_wal": "1GiB"},
        "apply": {"on_row_error": "dead_letter", "conflicts": {"public.d": "source_wins"}, "dual_write_until": "2999-01-01T00:00Z"}}
# What only some pipelines have: an embedded journal (journal_*), a queue of Kafka's. "up" is Prometheus' own.
OTHERS = {"up"}


def promtool(*words, text=None):
    assert os.access(PROMTOOL, os.X_OK), "no promtool: run tools/deps --prometheus"
    done = subprocess.run([PROMTOOL, *words], input=text, capture_output=True, text=True, timeout=120, check=False, cwd=os.path.join(DEPLOY, "prometheus"))
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def scrape(role):
    """{name: {(('label', 'value'), …): number}} of a role, without what all series have; and the text."""
    text = role.get("/metrics", 60)[1]
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line).groups()
        # one step at a time: "\\n" is a backslash and an n
        unescaped = [(k, re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), v)) for k, v in LABEL.findall(labels)]
        key = tuple(sorted((k, v) for k, v in unescaped if k not in ("role", "pipeline")))
        assert key not in found.setdefault(name, {}), f"twice: {line}"
        found[name][key] = float(value)
    return found, text


def rows_of(metrics, table):
    return {dict(key)["kind"]: value for key, value in metrics["crossfade_rows_total"].items() if dict(key)["table"] == table}


def defined():
    """Names of docs/METRICS.md: {name: (type, roles)}."""
    return {name: (kind, roles) for name, kind, roles in re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \|", read("docs", "METRICS.md"), re.M)}


@pytest.fixture(name="served", scope="module")
def fixture_served():
    """A pipeline in which all that can be counted has been."""
    with Workdir("metrics") as folder, Postgres(folder, "source", settings={"max_slot_wal_keep_size": "2GB"}) as source, Postgres(folder, "target") as target:
        with scenario(folder, source, target, T, more=MORE) as s:
            s.apply.start()
            s.capture.start()
            wait_until(lambda: "crossfade_snapshot_tables" in (s.capture.get("/metrics", 60) or (0, ""))[1], 60, "tables of the copy are shown")
            copying, text = scrape(s.capture)
            promtool("check", "metrics", text=text)
            s.wait_complete()
            s.wait()
            assert s.pipeline.run("compare", "run").returncode == 0
            s.source("INSERT INTO t SELECT i, 'n' FROM generate_series(2001, 2010) i", "UPDATE t SET v = 'u' WHERE id <= 7",
                     "DELETE FROM t WHERE id BETWEEN 1491 AND 1500", f"INSERT INTO {HOSTILE_SQL} SELECT i, 'x' FROM generate_series(1, 3) i",
                     "TRUNCATE t", "INSERT INTO t VALUES (1, 'again')")
            s.wait()
            wait_until(lambda: scrape(s.apply)[0].get("crossfade_verdict", {}).get((("verdict", "PASS"),)) == 1, 60, "the verdict is known")
            counted = scrape(s.capture)[0], scrape(s.apply)[0]
            s.apply.wait_log('"event":"dual_write"', 60)
            # Both sides change a row; the target refuses one; a session is ended.
            s.target("UPDATE d SET v = 'theirs' WHERE id = 1", f"ALTER TABLE t ADD CHECK (v <> '{VALUE}')")
            s.source("UPDATE d SET v = 'ours' WHERE id = 1", f"INSERT INTO t VALUES (2, '{VALUE}')")
            s.wait()
            before = sum(scrape(s.apply)[0]["crossfade_retries_total"].values())
            assert s.target("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                            "AND backend_type = 'client backend'")[0][0] > 0
            wait_until(lambda: sum(scrape(s.apply)[0]["crossfade_retries_total"].values()) > before, 60, "apply tries again")
            s.source("INSERT INTO t VALUES (3, 'later')")
            s.wait()
            yield {"scenario": s, "copying": copying, "counted": counted, "capture": scrape(s.capture), "apply": scrape(s.apply)}


def test_prometheus_takes_them(served):
    for role in ("capture", "apply"):
        metrics, text = served[role]
        assert promtool("check", "metrics", text=text) == ""
        names = {re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in defined() else name for name in metrics}
        assert names <= set(defined())
        for name in names:
            assert defined()[name][1] in (role, "both"), name
        for line in text.splitlines():
            assert line.startswith("#") or re.match(rf'\w+{{role="{role}",pipeline="{served["scenario"].name}"', line), line


def test_counts_are_right(served):
    """Whatever was copied and changed, once, by table and kind, at both roles; a hostile name is a label like any other."""
    for metrics in served["counted"]:
        assert rows_of(metrics, "public.t") == {"copy": 1500, "insert": 11, "update": 7, "delete": 10, "truncate": 1}
        assert rows_of(metrics, "public." + HOSTILE) == {"copy": 0, "insert": 3, "update": 0, "delete": 0, "truncate": 0}
        assert set(rows_of(metrics, "other").values()) == {0}
        for name in ("crossfade_batch_rows", "crossfade_batch_duration_seconds"):
            buckets = metrics[name + "_bucket"]
            assert buckets[(("le", "+Inf"),)] == metrics[name + "_count"][()] == max(buckets.values()) > 0
        assert metrics["crossfade_complete"][()] == 1 and metrics["crossfade_tables"][()] >= 3
    capture, apply = served["counted"]
    assert capture["crossfade_commit_journaled_seconds_count"][()] > 0 and apply["crossfade_commit_visible_seconds_count"][()] > 0
    assert sum(served["copying"]["crossfade_snapshot_tables"].values()) >= 3
    assert capture["crossfade_slot_wal_status"][(("wal_status", "reserved"),)] == 1
    assert 0 < capture["crossfade_safe_wal_bytes"][()] <= 3 << 30 and capture["crossfade_retained_wal_limit_bytes"][()] > 0
    assert capture["crossfade_journal_bytes"][()] > 0 and capture["crossfade_journal_records"][()] > 1500
    assert {dict(key)["stage"] for key in capture["crossfade_lag_bytes"]} == {"received", "journaled", "confirmed"}
    assert {dict(key)["stage"] for key in apply["crossfade_lag_bytes"]} == {"applied"}
    assert apply["crossfade_full_pass_timestamp_seconds"][()] == apply["crossfade_verdict_timestamp_seconds"][()] > 1.7e9
    assert apply["process_open_fds"][()] > 3 and apply["process_resident_memory_bytes"][()] > apply["crossfade_memory_bytes"][()] / 2


def test_trouble_is_counted(served):
    apply = served["apply"][0]
    assert apply["crossfade_dead_letters"][()] == 1
    assert apply["crossfade_conflicts_total"] == {(("winner", "source"),): 1, (("winner", "target"),): 0}
    assert sum(apply["crossfade_errors_total"].values()) > 0
    retried = {dict(key)["sqlstate_class"] for key, value in apply["crossfade_retries_total"].items() if value > 0}
    assert "23" in retried  # the batch with the refused row
    assert len(retried) > 1  # and the session that was ended


def used_in(expression):
    """Names of metrics in an expression: words that are no function, label or keyword."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    words = re.findall(r"[a-zA-Z_]\w*(?!\w*\s*\()", bare)
    return {w for w in words if w not in ("and", "or", "unless", "sum", "max", "min", "bool", "offset")}


def expressions():
    """(where, expression) of all rules and panels."""
    rules = read("deploy", "prometheus", "crossfade.rules.yaml")
    found = []
    for block in re.split(r"^      - alert: ", rules, flags=re.M)[1:]:
        name = block.split("\n", 1)[0]
        expr = re.search(r"^        expr: (\|\n(?:          .*\n)+|.*)", block, re.M).group(1)
        found.append((name, expr.lstrip("|")))
    board = json.loads(read("deploy", "grafana", "crossfade.json"))
    for panel in board["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found.append((variable["name"], re.sub(r"label_values\((\w+),.*", r"\1", variable["query"]["query"])))
    return found


def test_rules_and_dashboard_name_what_is_served(served):
    served_names = {name for role in ("capture", "apply") for name in served[role][0]} | set(served["copying"])
    assert len(expressions()) > 60
    used = set()
    for where, expression in expressions():
        names = used_in(expression)
        assert names, f"{where}: {expression}"
        assert names <= served_names | OTHERS, f"{where}: {names - served_names} in {expression}"
        used |= names
    # And the other way round: what is documented is served here.
    missing = {name for name, (kind, _) in defined().items() if (name + "_count" if kind == "histogram" else name) not in served_names}
    assert missing == set()
    # promtool's parser takes the dashboard's expressions as well.
    rules = [{"record": f"dashboard:{i}", "expr": e.replace("$__rate_interval", "5m").replace("$pipeline", ".*")} for i, (_, e) in enumerate(expressions())]
    with Workdir("rules") as folder:
        path = os.path.join(str(folder), "all.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"groups": [{"name": f"g{i}", "rules": [rule]} for i, rule in enumerate(rules)]}, f)
        promtool("check", "rules", path)


def test_alert_rules():
    assert "SUCCESS" in promtool("check", "rules", "crossfade.rules.yaml")
    assert "SUCCESS" in promtool("test", "rules", "crossfade.rules.test.yaml")
    rules, tests = read("deploy", "prometheus", "crossfade.rules.yaml"), read("deploy", "prometheus", "crossfade.rules.test.yaml")
    alerts = re.findall(r"^      - alert: (\w+)", rules, re.M)
    assert len(alerts) == len(set(alerts)) > 15
    for alert in alerts:  # each has a test in which it fires
        assert f"- name: {alert} fires" in tests, alert
        assert f"alertname: {alert}, exp_alerts: []" in tests, alert
    # Each has a runbook: a heading of that document, by GitHub's rule for anchors.
    headings = re.findall(r"^#+ (.*)$", read("docs", "OPERATIONS.md"), re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    runbooks = re.findall(r"runbook_url: docs/OPERATIONS\.md#(\S+)", rules)
    assert len(runbooks) == len(alerts) and set(runbooks) <= anchors
    assert runbooks == [alert.lower() for alert in alerts]


def logged_names():
    """{event: file} of all that the code logs."""
    found = {}
    for folder, _, files in os.walk(ROOT):
        top = os.path.relpath(folder, ROOT).split(os.sep)[0]
        if top in ("build", "tests", "bench", ".git"):
            continue
        for name in files:
            path = os.path.join(folder, name)
            if not name.endswith(".c") or path.endswith(os.path.join("lib", "core", "log.c")):
                continue
            with open(path, encoding="utf-8") as f:
                text = f.read()
            for call in re.finditer(r"\blog_event\(", text):
                depth, i, arguments, start, quoted = 1, call.end(), [], call.end(), False
                while depth > 0 and len(arguments) < 2:
                    c = text[i]
                    if quoted:
                        i += c == "\\"
                        quoted = c != '"'
                    elif c == '"':
                        quoted = True
                    elif c in "()":
                        depth += 1 if c == "(" else -1
                    elif c == "," and depth == 1:
                        arguments.append(text[start:i])
                        start = i + 1
                    i += 1
                words = re.findall(r'"(\w+)"', arguments[1])
                if not words:  # the name is a variable's, of the function around
                    body = text[text.rfind("\n{\n", 0, call.start()):call.start()]
                    words = re.findall(rf'{re.escape(arguments[1].strip())} =([^;]*);', body)
                    words = re.findall(r'"(\w+)"', " ".join(words))
                assert words, f"{path}: {arguments}"
                found.update((word, os.path.relpath(path, ROOT)) for word in words)
    return found


def test_events_are_documented(served):
    """Each event that is logged is in the table (a name that was published stays there); the log of a run is JSON, of documented events, without values of rows."""
    documented = set(re.findall(r"^\| `(\w+)` \|", read("docs", "EVENTS.md"), re.M))
    logged = logged_names()
    assert {name: path for name, path in logged.items() if name not in documented} == {}
    s, seen = served["scenario"], set()
    for role in (s.capture, s.apply):
        for line in role.log_text().splitlines():
            event = json.loads(line)
            assert set(event) - {"suppressed"} == {"time", "level", "role", "event", "detail"} and event["role"] == role.name.split()[-1]
            seen.add(event["event"])
            assert VALUE not in line
    assert seen <= documented and {"started", "snapshot_begin", "snapshot_end", "dead_letter", "batch_again", "session_lost"} <= seen


def test_counters_outlive_sessions():
    """What capture has counted stays counted when it opens everything anew."""
    with Workdir("sessions") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, \
            scenario(folder, source, target, "CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c SELECT generate_series(1, 200)") as s:
        s.start()
        s.source("INSERT INTO c SELECT generate_series(1000, 1099)")
        s.wait()
        names = ("crossfade_changes_total", "crossfade_transactions_total", "crossfade_fences_total", "crossfade_processed_bytes_total")
        before = {name: scrape(s.capture)[0][name][()] for name in names}
        assert before["crossfade_changes_total"] == 300
        slot = s.slots()[0]
        s.source_server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (slot,))
        s.capture.wait_for(lambda status: status["retries"] >= 1, 60, "its session was ended")
        for name in names:
            assert scrape(s.capture)[0][name][()] >= before[name], name
        s.source("INSERT INTO c SELECT generate_series(2000, 2009)")
        s.assert_equal()
        s.capture.wait_for(lambda status: status["changes"] == 310, 60, "it counts on")
        lag = scrape(s.capture)[0]["crossfade_lag_seconds"]
        assert {dict(key)["stage"] for key in lag} == {"received", "journaled"} and all(value < 30 for value in lag.values())
