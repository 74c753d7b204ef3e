"""The old PostgreSQL database after a cutover to MariaDB: who still uses it, the tombstone, and what cleanup takes away and leaves on either kind of server."""

import json
import os

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.mariadb import MariaDB
from rig.privileges import OWNER, as_role
from rig.procs import run_crossfade
from test_binlog import FULL
from test_cutover_mariadb import STRICT, Move, kill_at


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("decommission-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", STRICT) as target:
        yield folder, source, target


class Old:
    """decommission and cleanup of a Move, as a superuser on the source."""

    def __init__(self, move):
        self.move, self.settings = move, json.loads(json.dumps(move.pipeline.settings))
        self.settings["source"]["url"] = move.url
        self.settings["decommission"] = {"quiet_s": 3600}

    def run(self, *words, expected=0, **decommission):
        self.settings["decommission"].update(decommission)
        path = os.path.join(str(self.move.folder), f"{self.move.name}-old.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self.settings, f)
        done = run_crossfade(*words, *([] if words[1:2] == ("watch",) else ["--json"]), config=path, timeout=120)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        assert done.returncode == expected, f"{words}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr}"
        return done.stdout if words[1:2] == ("watch",) else json.loads(done.stdout)

    def status(self):
        return self.run("decommission", "status", expected=1)

    def connects(self):
        psycopg.connect(as_role(self.move.url, OWNER), connect_timeout=10).close()


def found(report, kind):
    return [entry for entry in report["found"] if entry["kind"] == kind]


def fates(report, side):
    return {(item["kind"], item["name"]): item["fate"] for item in report["artefacts"] if item["side"] == side}


def test_tombstone(servers):
    """status through the stages, the recorder, a tombstone up and down; what undo needs stands on MariaDB."""
    with Move(servers, "tomb") as move:
        old = Old(move)
        assert old.status()["stage"] == "serving"
        refused = move.run("decommission", "tombstone")
        assert refused.returncode != 0 and "was not cut over" in refused.stderr
        move.compare()
        move.cutover("run", "--execute")
        move.pipeline.close()
        report = old.status()
        assert report["stage"] == "readonly" and report["cut_over_at"] and not report["period_over"] and "no tombstone" in report["why_not"]
        with psycopg.connect(as_role(move.url, OWNER), application_name="shop's \\ ui") as app:
            app.execute("SELECT 1")
            for _ in range(2):
                assert "kinds of them seen so far" in old.run("decommission", "watch", "--once")
            report = old.status()
            (seen,) = [entry for entry in found(report, "seen") if entry["application"] == "shop's \\ ui"]
            assert seen["blocks"] and seen["name"] == OWNER and seen["detail"].startswith("1 connections since 20") and seen["at"].endswith("Z"), seen
            (session,) = [entry for entry in found(report, "session") if entry["application"] == "shop's \\ ui"]
            assert session["blocks"] and "session on the source" in report["why_not"]
            planned = old.run("decommission", "tombstone")
            home = f"MariaDB at host=127.0.0.1 port={move.target.port} dbname=tomb"
            assert planned["outcome"] == "planned" and home in planned["message"]
            up = old.run("decommission", "tombstone", "--execute", "--confirm", "tomb")
            assert up["outcome"] == "up" and up["sessions"] >= 1 and up["audit_seq"] > 0
            with pytest.raises(psycopg.OperationalError):
                app.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="has moved to MariaDB" if up["method"] != "connect" else "permission denied"):
            old.connects()
        report = old.status()
        assert report["stage"] == "tombstone" and report["tombstone"]["whole"] and home in report["tombstone"]["message"] and not found(report, "session")
        assert not any(entry["blocks"] for entry in found(report, "seen")), "nobody has come since"
        assert old.run("decommission", "tombstone", "--execute", "--undo", "--confirm", "tomb")["outcome"] == "down"
        old.connects()
        assert old.status()["stage"] == "readonly"
        events = [row[0] for row in move.target.sql("SELECT event FROM crossfade_audit WHERE event LIKE 'decommission.%' ORDER BY seq", db="tomb")]
        assert events == ["decommission.tombstone", "decommission.tombstone_undo"] and move.run("audit", "verify").returncode == 0


def test_may_be_switched_off(servers):
    """The period is over, nobody comes: it may. Then cleanup takes all but what tells of the cutover."""
    with Move(servers, "off", rollback_window="1s") as move:
        old = Old(move)
        move.compare()
        move.cutover("run", "--execute")
        refused = old.run("cleanup", expected=1)
        assert any(item["fate"] == "refuse" for item in refused["artefacts"]), "its roles run"
        move.pipeline.close()
        move.target.sql("GRANT DROP ON `off`.* TO 'crossfade'@'%'")
        wait_until(lambda: old.run("decommission", "status", expected=1)["period_over"], 30, "the period is over")
        old.run("decommission", "tombstone", "--execute", "--confirm", "off")
        report = old.run("decommission", "status")
        assert report["stage"] == "ready" and report["may_switch_off"] and found(report, "slot")
        left = fates(old.run("cleanup", "--execute", "--confirm", "off"), "target")
        assert left[("target_rows", "cutover")] == left[("target_rows", "tombstone")] == "leave" and left[("target_rows", "position")] == "remove"
        tables = {row[0] for row in move.target.sql("SHOW TABLES", db="off")}
        assert {"crossfade_cutover", "crossfade_tombstone", "crossfade_audit", "ledger", "account", "ticket"} <= tables and "crossfade_position" not in tables
        assert not move.source.sql("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()", db="off")
        assert old.run("decommission", "status")["stage"] == "ready"
        old.run("decommission", "tombstone", "--execute", "--undo", "--confirm", "off")


def test_cleanup_refuses(servers):
    """A cutover that stands somewhere, one that is at work, and the read-only period."""
    with Move(servers, "cleans") as move:
        old = Old(move)
        move.compare()
        kill_at(move, "cutover.freezing")
        move.pipeline.close()
        report = old.run("cleanup", expected=1)
        (steps,) = [item for item in report["artefacts"] if item["kind"] == "cutover" and item["side"] == "target"]
        assert steps["fate"] == "refuse" and "the cutover stands at" in steps["why"]
        with move.target.connect("cleans") as holder, holder.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(CONCAT('crossfade_cutover_', SHA1(CONCAT_WS('\\n', DATABASE(), 'cleans'))), 0)")
            (at_work,) = [item for item in old.run("cleanup", expected=1)["artefacts"] if item["name"] == "crossfade cutover"]
            assert at_work["fate"] == "refuse" and at_work["used_by"]
        move.pipeline.start()
        assert move.cutover("abort", expected=11)["outcome"] == "aborted"


def test_mariadb_as_source(servers):
    """All that a pipeline leaves there is its markers; another one's stay, and so does the table as long as there are some."""
    folder, _, _ = servers
    with MariaDB(folder, "binlog", FULL) as source, Postgres(folder, "copy") as target:
        url, copy = source.create_db("marks", jobs=("capture",)), target.create_db("marks")
        source.script("CREATE TABLE t (id int PRIMARY KEY)", "marks")
        target.sql("CREATE TABLE t (id int PRIMARY KEY)", db="marks")
        source.sql("GRANT DELETE, DROP ON `marks`.* TO 'crossfade'@'%'")
        with Pipeline(folder, url, copy, name="marks", tables=("marks.*",), roles=False) as p:
            p.start()
            p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
            source.sql("INSERT INTO crossfade_marker (pipeline, nonce, kind) VALUES ('marks', 'a', 'ping'), ('another', 'b', 'ping')", db="marks")

            def cleanup(expected, *words):
                done = p.run("cleanup", "--json", *words)
                assert done.returncode == expected, done.stdout + done.stderr
                return json.loads(done.stdout)
            (capture,) = [item for item in cleanup(1)["artefacts"] if item["name"] == "crossfade capture"]
            assert capture["fate"] == "refuse" and capture["side"] == "source" and capture["used_by"]
            p.close()
            source.sql("CREATE TABLE crossfade_decision (pipeline varchar(64) PRIMARY KEY, cutover_id varchar(64), state varchar(16))", db="marks")
            source.sql("INSERT INTO crossfade_decision VALUES ('marks', 'c1', 'open')", db="marks")
            for name, database, pipeline in (("marks", "marks", "marks"), ("another", "marks", "another"), ("elsewhere", "elsewhere", "marks")):
                source.sql(f"""CREATE TRIGGER crossfade_freeze_i_{name} BEFORE INSERT ON t FOR EACH ROW BEGIN DECLARE s varchar(16);
                    SELECT d.state INTO s FROM `{database}`.crossfade_decision d WHERE d.pipeline = '{pipeline}' LOCK IN SHARE MODE; END""", db="marks")
            source.sql("GRANT TRIGGER, DELETE, DROP ON `marks`.* TO 'crossfade'@'%'")
            source.sql("SET GLOBAL log_bin_trust_function_creators = 1")  # else triggers are SUPER's alone where there is a binlog
            (decision,) = [item for item in cleanup(1)["artefacts"] if item["kind"] == "cutover"]
            assert decision["name"] == "c1" and decision["fate"] == "refuse"
            source.sql("UPDATE crossfade_decision SET state = 'switched'", db="marks")
            closed = fates(cleanup(0), "source")
            assert closed[("freeze_trigger", "`marks`.`crossfade_freeze_i_marks`")] == closed[("source_rows", "decision")] == "leave"
            opened = fates(cleanup(0, "--execute", "--open-source", "--confirm", "marks"), "source")
            assert opened[("freeze_trigger", "`marks`.`crossfade_freeze_i_marks`")] == opened[("source_rows", "decision")] == "remove"
            assert [row[0] for row in source.sql("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS ORDER BY 1")] == ["crossfade_freeze_i_another", "crossfade_freeze_i_elsewhere"]
            report = cleanup(0, "--execute")
            assert fates(report, "source")[("shared_object", "table crossfade_marker")] == "leave"
            assert [row[0] for row in source.sql("SELECT pipeline FROM crossfade_marker", db="marks")] == ["another"]
            source.sql("DELETE FROM crossfade_marker", db="marks")
            assert fates(cleanup(0, "--execute"), "source")[("shared_object", "table crossfade_marker")] == "remove"
            assert [row[0] for row in source.sql("SHOW TABLES", db="marks")] == ["t"]
