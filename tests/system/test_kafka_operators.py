"""Kafka as its operators want it: topics, lag tools, limits of transactions, and brokers that do not answer or do not take records."""

import re
import shlex
import signal

import pytest

from rig import Kafka, Postgres, Workdir, wait_until
from rig.journal import assert_journal, read_kafka
from rig.netns import Namespace, why_not
from rig.procs import halts, last_line, pid_alive, retries
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"
TWO = T + "; CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)"
PROPERTIES = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": 200, "transaction.max.timeout.ms": 700000}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("operators") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(servers):
    with Kafka(servers[0], properties=PROPERTIES) as kafka:
        yield kafka


def stopped(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


# -- topics

def test_topics_are_made_as_configured(servers, kafka):
    with scenario(*servers, T, journal=kafka.url, more={"journal": {"partitions": 3, "keep": "36h", "replication_factor": 1}}) as s:
        s.start()
        s.source("UPDATE t SET v = 'spread'")
        s.assert_equal()
        topics = kafka.topics()
        assert topics[f"{s.name}.public.t"] == 3 and topics[f"{s.name}.fence"] == topics[f"{s.name}.schemas"] == 1
        data, fence = kafka.topic_config(f"{s.name}.public.t"), kafka.topic_config(f"{s.name}.fence")
        assert data["retention.ms"] == str(36 * 3600 * 1000) and data["cleanup.policy"] == "delete"
        assert fence["retention.ms"] == "-1" and fence["cleanup.policy"] == "delete"


def test_replication_that_the_cluster_cannot_give(servers, kafka):
    with scenario(*servers, T, journal=kafka.url, more={"journal": {"replication_factor": 3}}) as s:
        s.capture.start()
        halts(s.capture, 2, s.name, "eplication")


def test_topics_must_exist(servers, kafka):
    """Each missing topic is named with the command that makes it; after these commands the pipeline runs."""
    more = {"journal": {"create_topics": False, "partitions": 2, "keep": "7d"}}
    with scenario(*servers, TWO, journal=kafka.url, more=more) as s:
        made = set()
        s.capture.start()
        while True:
            wait_until(lambda: not s.capture.running or (s.capture.status() or {}).get("complete"), 60, "a topic is missing, or the copy is complete")
            if s.capture.running:
                break
            halts(s.capture, 2, "create_topics", "kafka-topics.sh")
            command = shlex.split(re.search(r"kafka-topics\.sh (--bootstrap-server .*?)\"?$", last_line(s.capture)).group(1))
            topic = command[command.index("--topic") + 1]
            assert topic not in made and topic not in kafka.topics()
            kafka.tool("kafka-topics", *command[2:])
            made.add(topic)
            s.capture.start()
        assert made == {f"{s.name}.{name}" for name in ("fence", "schemas", "public.t", "public.u")}
        s.apply.start()
        s.wait_complete()
        s.source("UPDATE t SET v = 'x'", "INSERT INTO u VALUES (2)")
        s.assert_equal()
        assert kafka.topics()[f"{s.name}.public.t"] == 2
        assert kafka.topic_config(f"{s.name}.public.t")["retention.ms"] == str(7 * 24 * 3600 * 1000)


def test_a_topic_of_others_that_takes_small_batches_only(servers, kafka):
    """It stands with the broker's default limit: what cannot be compressed comes in batches that fit, after one that did not."""
    table = """CREATE TABLE t (id int PRIMARY KEY, v bytea); ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
      INSERT INTO t SELECT i, decode(string_agg(md5(i::text || j), ''), 'hex') FROM generate_series(1, 2000) i, generate_series(1, 250) j GROUP BY i"""
    with scenario(*servers, table, "CREATE TABLE t (id int PRIMARY KEY, v bytea)", journal=kafka.url) as s:
        kafka.tool("kafka-topics", "--create", "--topic", f"{s.name}.public.t", "--config", "max.message.bytes=1048588", "--config", "retention.ms=-1")
        s.start()
        s.assert_equal()
        assert "takes no batches of 4000000 bytes" in s.capture.log_text() and s.capture.status()["retries"] == 1


# -- lag tools

def lags(kafka, group):
    """{(topic, partition): (committed, end, lag)}, as kafka-consumer-groups tells."""
    found = {}
    for line in kafka.tool("kafka-consumer-groups", "--describe", "--group", group).splitlines():
        words = line.split()
        if len(words) > 5 and words[0] == group and words[3].isdigit():
            found[words[1], int(words[2])] = tuple(int(word) for word in words[3:6])
    return found


def test_lag_tools(servers, kafka):
    with scenario(*servers, T, journal=kafka.url, more={"journal": {"partitions": 2}, "capture": {"heartbeat_interval_ms": 3600000}}) as s:
        s.start()
        group = f"crossfade-{s.name}"
        s.source("UPDATE t SET v = 'applied'")
        s.wait()
        topics = {(f"{s.name}.fence", 0), (f"{s.name}.public.t", 0), (f"{s.name}.public.t", 1)}
        wait_until(lambda: {k: v[2] for k, v in lags(kafka, group).items()} == dict.fromkeys(topics, 0), 30, f"no lag: {lags(kafka, group)}")
        before = lags(kafka, group)
        assert s.apply.terminate() == 0
        s.source("UPDATE t SET v = 'waits'", "UPDATE t SET v = 'waits on' WHERE id < 50")
        s.capture.wait_lsn("journaled_lsn", s.source_server.lsn())
        behind = lags(kafka, group)
        assert set(behind) == topics
        for key, (committed, end, lag) in behind.items():
            assert committed == before[key][0] and lag == end - committed > 0, f"{key}: {behind[key]}"
        assert sum(behind[f"{s.name}.public.t", n][2] for n in (0, 1)) >= 149
        # The offsets are there to be looked at: where apply goes on, the target says.
        kafka.tool("kafka-consumer-groups", "--group", group, "--reset-offsets", "--to-latest", "--all-topics", "--execute")
        s.apply.start()
        s.assert_equal()
        assert s.capture.terminate() == 0  # no fence comes any more
        wait_until(lambda: {k: v[2] for k, v in lags(kafka, group).items()} == dict.fromkeys(topics, 0), 60, "no lag again")


def test_offsets_that_cannot_be_committed_stop_nobody(servers):
    """No broker is there to coordinate groups: one warning, and everything else as ever."""
    folder, source, target = servers
    with Kafka(folder, "groupless", properties={"offsets.topic.replication.factor": 3}) as kafka, \
            scenario(folder, source, target, T, journal=kafka.url) as s:
        s.start()
        s.apply.wait_log("group_offsets", 60)
        for n in range(5):
            s.source(f"UPDATE t SET v = 'v{n}'")
            s.assert_equal()
        assert s.apply.log_text().count("group_offsets") == 1
        assert s.apply.terminate(8) == 0


# -- transactions

def test_unit_that_outlives_its_transaction(servers, kafka):
    with scenario(*servers, T, journal=kafka.url, journal_format="json", more={"journal": {"kafka": {"transaction.timeout.ms": 15000}}}) as s:
        s.start()
        s.source("UPDATE t SET v = 'before'")
        s.wait()
        assert s.capture.terminate() == 0
        s.capture.start(failpoint="journal.kafka.commit:3:stop")
        s.source(*(f"UPDATE t SET v = 'unit {n}' WHERE id = {n}" for n in range(1, 20)))
        wait_until(lambda: stopped(s.capture.pid), 30, "it stands in an open transaction")
        before = s.target("SELECT count(*) FROM t WHERE v <> 'before'")
        assert not aborted(kafka, s.name)
        wait_until(lambda: aborted(kafka, s.name), 60, "the broker has ended the transaction")
        s.capture.signal(signal.SIGCONT)
        # It halts and says why; or its client has given up on the commit first, and the unit is made once more in a new session.
        wait_until(lambda: not s.capture.running or "capture retry" in s.capture.log_text(), 60, "the end of the transaction is noticed")
        if not s.capture.running:
            halts(s.capture, 5, "transaction.timeout.ms", "transaction.max.timeout.ms", "15000")
            assert s.target("SELECT count(*) FROM t WHERE v <> 'before'") == before
            s.capture.start()
        s.assert_equal()
        assert_journal(*read_kafka(kafka, s.name), s.source_url, s.name)


def aborted(kafka, name):
    """The records of the ended transaction are no longer open: who reads committed records only gets past them."""
    from confluent_kafka import Consumer, TopicPartition
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "rig", "isolation.level": level})
        ends.append(consumer.get_watermark_offsets(TopicPartition(f"{name}.fence", 0), 10)[1])
        consumer.close()
    return ends[0] == ends[1]


def test_transaction_timeout_that_the_broker_refuses(servers, kafka):
    with scenario(*servers, T, journal=kafka.url, more={"journal": {"kafka": {"transaction.timeout.ms": 800000}}}) as s:
        s.capture.start()
        halts(s.capture, 2, "800000", "transaction.max.timeout.ms", "journal.kafka", timeout=20)


def test_another_producer_takes_over(servers, kafka):
    from confluent_kafka import Producer
    with scenario(*servers, T, journal=kafka.url) as s:
        s.start()
        Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": s.name}).init_transactions(30)
        s.source("UPDATE t SET v = 'fenced'")
        halts(s.capture, 5, "class=fenced", "another capture")
        s.capture.start()
        s.assert_equal()


# -- brokers that do not answer

def told_in_time(role, seconds, *words):
    """Between the start and the first telling, as its own log says; and its status shows the same while it tries on."""
    role.wait_log("kafka_no_answer", 30)
    status = role.wait_for(lambda status: status["trouble"] or status["phase"] == "retrying", 10, "says what it waits for")
    for word in words:
        assert word in (status["trouble"] or status["last_error"]), status
    times = [int(line[14:16]) * 60 + float(line[17:26]) for line in role.log_text().splitlines() if " started " in line or "kafka_no_answer" in line]
    assert (times[1] - times[0]) % 3600 < seconds, role.log_text()


def test_nobody_listens(servers):
    with scenario(*servers, T, journal="kafka://127.0.0.1:1") as s:
        s.capture.start()
        s.apply.start()
        for role in (s.capture, s.apply):
            told_in_time(role, 4, "127.0.0.1:1", "refused")
        assert "refused" in s.pipeline.run("status").stdout


def test_broker_is_partitioned_away(servers):
    """Its packets vanish: nobody is refused, nothing comes back. Said within seconds, and all goes on when the cable is mended."""
    if why_not():
        pytest.skip(why_not())
    folder, source, target = servers
    with Namespace() as away, Kafka(folder, "away", namespace=away) as kafka, \
            scenario(folder, source, target, T, journal=kafka.url, journal_format="json") as s:
        s.start()
        s.source("UPDATE t SET v = 'before'")
        s.wait()
        away.cut()
        s.source("UPDATE t SET v = 'meanwhile' WHERE id < 50")
        for role in (s.capture, s.apply):
            role.wait_for(lambda status: status["trouble"] and away.inside in status["trouble"], 10, "says that the broker is silent")
        assert s.apply.running and s.capture.running
        away.heal()
        s.assert_equal(120)
        for role in (s.capture, s.apply):
            role.wait_for(lambda status: not status["trouble"] and status["phase"] == "streaming", 60, "all is well")
            assert pid_alive(role.pid)
        away.cut()  # for longer than every wait
        s.source("INSERT INTO t VALUES (1000, 'long')")
        for role in (s.capture, s.apply):
            retries(role, timeout=90)
        with scenario(folder, source, target, T, journal=kafka.url) as other:
            other.capture.start()
            told_in_time(other.capture, 4, away.inside)
        assert s.apply.terminate(12) == 0  # a silent broker does not hold up a stop
        away.heal()
        s.apply.start()
        s.assert_equal(120)
        assert_journal(*read_kafka(kafka, s.name), s.source_url, s.name)


def test_not_enough_replicas(servers):
    """Two copies are wanted and one broker is away: named with the topic, and nothing else to do once it is back."""
    folder, source, target = servers
    own = {"offsets.topic.replication.factor": 2, "transaction.state.log.replication.factor": 2}
    with Kafka(folder, "first", heap="256m", properties=own) as kafka, \
            Kafka(folder, "second", heap="256m", properties=own, joins=kafka) as second, \
            scenario(folder, source, target, T, journal=kafka.url, more={"journal": {"replication_factor": 2}}) as s:
        s.start()
        s.source("UPDATE t SET v = 'before'")
        s.wait()
        topic = f"{s.name}.public.t"
        kafka.set_topic(topic, min_insync_replicas=2)
        wait_until(lambda: set(kafka.in_sync("__transaction_state").values()) == {2}, 60, "the coordinator has two copies")
        second.kill9()
        wait_until(lambda: kafka.in_sync(topic) == {0: 1}, 60, "one replica is left")
        s.source("UPDATE t SET v = 'not taken'")
        status = s.capture.wait_for(lambda status: "NOT_ENOUGH_REPLICAS" in (status["trouble"] or ""), 30, "says what is wrong")
        assert topic in status["trouble"] and "min.insync.replicas=2" in status["trouble"]
        status = s.capture.wait_for(lambda status: "NOT_ENOUGH_REPLICAS" in (status["last_error"] or ""), 60, "begins anew")
        assert s.target("SELECT count(*) FROM t WHERE v <> 'before'") == [(0,)]
        log = s.capture.log_text()
        assert log.count("kafka_no_answer") <= 3 * (log.count(" retry ") + 1), log  # told, not repeated
        second.start(180)
        s.assert_equal(240)
        assert not s.capture.status()["trouble"]
