"""Kafka Connect's standalone worker with Debezium's JDBC sink and its connectors for PostgreSQL and MariaDB, from what `tools/deps --connect` fetches."""

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request

from confluent_kafka import Consumer, TopicPartition

from .kafka import jars
from .mariadb import ROOT_PASSWORD
from .ports import free_port
from .procs import Process
from .wait import wait_until

VERSION = "3.1.0.Final"
SMALL_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # for tests: little memory, quick to start

_WORKER = """\
bootstrap.servers={bootstrap}
listeners=http://127.0.0.1:{port}
offset.storage.file.filename={home}/offsets
offset.flush.interval.ms=200
plugin.path={plugins}
plugin.discovery=only_scan
consumer.isolation.level=read_committed
consumer.metadata.max.age.ms=1000
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
"""

_LOG4J = """\
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %c{1} %m%n
"""

JSON = {f"{part}.converter{key}": value for part in ("key", "value")
        for key, value in (("", "org.apache.kafka.connect.json.JsonConverter"), (".schemas.enable", "true"),
                           (".replace.null.with.default", "false"))}


def avro(registry, register=False):
    """Apicurio's converter in Confluent's framing, against a rig.registry.Registry. register: for those that write."""
    settings = {"": "io.apicurio.registry.utils.converter.AvroConverter", ".apicurio.registry.url": f"http://{registry.address}/apis/registry/v2",
                ".apicurio.registry.as-confluent": "true", ".apicurio.registry.use-id": "contentId", ".apicurio.registry.headers.enabled": "false"}
    if register:
        settings[".apicurio.registry.auto-register"] = "true"
    return {f"{part}.converter{key}": value for part in ("key", "value") for key, value in settings.items()}


def plugins():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.path.join(cache, "crossfade", f"connect-{VERSION}")
    if not os.path.exists(os.path.join(home, "complete")):
        raise FileNotFoundError(f"no Kafka Connect plugins in {home}: run tools/deps --connect")
    return os.path.join(home, "plugins")


def jdbc_sink(url, topics, converters, **more):
    """Settings of Debezium's sink into a PostgreSQL (a libpq URL), by primary key; topics: a regular expression."""
    u = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(u.query))
    user, password = u.username or query.get("user", "postgres"), u.password or query.get("password", "x")
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "tasks.max": "1", "topics.regex": topics,
        # texts without a type of their own: the server takes them as what the column is
        "connection.url": f"jdbc:postgresql://{u.hostname}:{u.port}{u.path}?stringtype=unspecified",
        "connection.username": user, "connection.password": password, "insert.mode": "upsert", "delete.enabled": "true",
        "primary.key.mode": "record_key", "schema.evolution": "none", "quote.identifiers": "true",
        "collection.name.format": "${source.schema}.${source.table}", "batch.size": "500", **converters, **more}


def postgres_source(prefix, url, tables, converters, **more):
    """Settings of Debezium's connector for a PostgreSQL (a libpq URL); tables: table.include.list."""
    u = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(u.query))
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1", "topic.prefix": prefix,
        "database.hostname": u.hostname, "database.port": u.port, "database.user": u.username or query.get("user", "postgres"),
        "database.password": u.password or query.get("password", "x"), "database.dbname": u.path.lstrip("/"), "plugin.name": "pgoutput",
        "slot.name": prefix, "publication.name": prefix, "publication.autocreate.mode": "filtered", "table.include.list": tables,
        "skipped.operations": "none", **_SOURCE, **converters, **more}


def mariadb_source(prefix, server, kafka, databases, converters, **more):
    """Settings of Debezium's connector for a rig.mariadb.MariaDB."""
    return {
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector", "tasks.max": "1", "topic.prefix": prefix,
        "database.hostname": "127.0.0.1", "database.port": server.port, "database.user": "root", "database.password": ROOT_PASSWORD,
        "database.server.id": 5001, "database.include.list": databases, "database.ssl.mode": "disable", "skipped.operations": "none",
        "schema.history.internal.kafka.bootstrap.servers": kafka.bootstrap, "schema.history.internal.kafka.topic": f"history-{prefix}",
        **_SOURCE, **converters, **more}


# The broker makes no topics by itself.
_SOURCE = {"topic.creation.enable": "true", "topic.creation.default.replication.factor": 1, "topic.creation.default.partitions": 1,
           "poll.interval.ms": 50, "heartbeat.interval.ms": 500}


class Connect:
    """with Connect(folder, kafka, {"name": settings}) as connect: a worker that runs these connectors.

    They come in files, as the standalone worker wants them: Apicurio's converter hangs when its class is first met over REST.
    """

    def __init__(self, folder, kafka, connectors, name="connect", heap="384m", jvm=SMALL_JVM, worker=None):
        """jvm: options of the Java machine. worker: more of the worker's settings, or others."""
        self.kafka, self.home, self.port, self.connectors = kafka, os.path.join(str(folder), name), free_port(), connectors
        os.makedirs(self.home, exist_ok=True)
        worker = self._write("worker", _WORKER.format(bootstrap=kafka.bootstrap, port=self.port, home=self.home, plugins=plugins())
                             + "".join(f"{key}={value}\n" for key, value in (worker or {}).items()))
        files = [self._write(name, "".join(f"{key}={value}\n" for key, value in dict(settings, name=name).items()).replace("\\", "\\\\"))
                 for name, settings in connectors.items()]
        with open(os.path.join(self.home, "log4j.properties"), "w") as f:
            f.write(_LOG4J)
        java = ["java", f"-Xmx{heap}", *jvm, "-XX:-UsePerfData", "-Djava.awt.headless=true", "-Duser.timezone=UTC",
                f"-Dlog4j.configuration=file:{self.home}/log4j.properties", "-cp", jars(), "org.apache.kafka.connect.cli.ConnectStandalone", worker, *files]
        self.process = Process(name, java, os.path.join(self.home, "log"), cwd=self.home)

    def _write(self, name, text):
        path = os.path.join(self.home, name + ".properties")
        with open(path, "w") as f:
            f.write(text)
        return path

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.process.close()

    def start(self, timeout=240):
        self.process.start()
        self.process.wait_answers(lambda: all(self.request(f"/connectors/{name}/status")["tasks"] for name in self.connectors), timeout,
                                  (OSError, ValueError, RuntimeError))  # its resources come up one after the other
        return self

    # -- its REST interface

    def request(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"Kafka Connect: {path}: {error.code} {error.read().decode(errors='replace')}") from None

    def failure(self, name):
        """Why a connector or its task has failed; None when it has not."""
        status = self.request(f"/connectors/{name}/status")
        states = [status["connector"], *status["tasks"]]
        return next((s.get("trace", "failed") for s in states if s["state"] == "FAILED"), None)

    def wait_taken(self, name, timeout=120):
        """Waits until the sink has confirmed every record that is committed in its topics now."""
        pattern = re.compile(self.connectors[name]["topics.regex"])
        found = self.kafka.read_all([topic for topic in self.kafka.topics() if pattern.fullmatch(topic)])
        ends = {(m.topic(), m.partition()): m.offset() + 1 for messages in found.values() for m in messages}  # markers behind it do not count
        reader = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": f"connect-{name}"})
        try:
            def taken():
                why = self.failure(name)
                assert why is None, f"{name} has failed\n{why}"
                places = reader.committed([TopicPartition(*place) for place in ends], timeout=10)
                return all(p.offset >= ends[p.topic, p.partition] for p in places)
            wait_until(taken, timeout, f"{name} has taken all", interval=0.2)
        finally:
            reader.close()
