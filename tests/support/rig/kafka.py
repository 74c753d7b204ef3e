"""One Apache Kafka broker (KRaft, its own controller), from the jars that `tools/deps --kafka` fetches."""

import base64
import os
import shutil
import subprocess
import uuid

from .ports import free_port
from .procs import Process
from .wait import wait_until

VERSION = "3.9.1"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""

_LOG4J = """\
log4j.rootLogger=WARN, stdout
log4j.logger.kafka=INFO
log4j.logger.org.apache.kafka=WARN
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %c{1} %m%n
"""


def jars():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.path.join(cache, "crossfade", f"kafka-{VERSION}")
    if not os.path.exists(os.path.join(home, "complete")):
        raise FileNotFoundError(f"no Kafka in {home}: run tools/deps --kafka")
    return os.path.join(home, "libs", "*")


class Kafka:
    """with Kafka(folder) as kafka: a running broker at kafka.bootstrap; its data survives kill9 and restart."""

    def __init__(self, folder, name="kafka", heap="512m", properties=None, port=None, detached=False, namespace=None, joins=None):
        """properties: more of the broker's, or others. namespace: a rig.netns.Namespace that it runs in. joins: another broker,
        whose controller it uses: both are one cluster."""
        self.name = name
        self.home = os.path.join(str(folder), name)
        self.data = os.path.join(self.home, "data")
        self.log = os.path.join(self.home, "log")
        self.host = namespace.inside if namespace else "127.0.0.1"
        self.port = port or free_port()
        self.controller_port = free_port()
        self.cluster = joins.cluster if joins else base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        self.properties = dict(properties or {})
        if joins:
            self.properties.update({"process.roles": "broker", "node.id": 2, "listeners": f"PLAINTEXT://{self.host}:{self.port}",
                                    "controller.quorum.voters": f"1@{joins.host}:{joins.controller_port}"})
        self._config = os.path.join(self.home, "server.properties")
        # -XX: as Kafka's own start script has them (bin/kafka-run-class.sh, KAFKA_JVM_PERFORMANCE_OPTS).
        self._java = ["java", f"-Xmx{heap}", f"-Xms{heap}", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                      "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true", "-XX:-UsePerfData",
                      f"-Dlog4j.configuration=file:{self.home}/log4j.properties", "-cp", jars()]
        enter = namespace.enter if namespace else []
        self.process = Process(f"kafka {name}", [*enter, *self._java, "kafka.Kafka", self._config], self.log, detached=detached)

    def __enter__(self):
        if not self.process.running:
            self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def bootstrap(self):
        return f"{self.host}:{self.port}"

    @property
    def url(self):
        return f"kafka://{self.bootstrap}"

    # -- life

    def write_config(self):
        os.makedirs(self.home, exist_ok=True)
        with open(self._config, "w") as f:
            f.write(_PROPERTIES.format(host=self.host, port=self.port, controller=self.controller_port, data=self.data))
            f.writelines(f"{key}={value}\n" for key, value in self.properties.items())
        with open(os.path.join(self.home, "log4j.properties"), "w") as f:
            f.write(_LOG4J)

    def format(self):
        done = subprocess.run([*self._java, "kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", self._config],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Kafka's storage could not be formatted\n{done.stdout}{done.stderr}")

    def start(self, timeout=60):
        """Formats the data folder the first time, starts, and waits until the broker answers."""
        self.write_config()
        if not os.path.exists(os.path.join(self.data, "meta.properties")):
            self.format()
        self.process.start()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60):
        def answers():
            assert self.process.running, f"{self.process.name} ended ({self.process.exit_code})\n{self.process.log_tail()}"
            return self.kcat("-L", "-m", "2", check=False).returncode == 0
        wait_until(answers, timeout, f"{self.process.name} answers", interval=0.1)

    def stop(self, timeout=30):
        self.process.terminate(timeout)

    def kill9(self):
        self.process.kill9()

    def restart(self):
        self.stop()
        return self.start()

    def wipe(self):
        """Removes all data of the stopped broker: the next start is a new cluster at the same address."""
        assert not self.process.running, "stop the broker first"
        shutil.rmtree(self.data)

    def close(self):
        self.process.close()

    # -- looking in

    def kcat(self, *arguments, check=True, timeout=60):
        done = subprocess.run(["kcat", "-b", self.bootstrap, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise RuntimeError(f"kcat {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
        return done

    def tool(self, name, *arguments, timeout=120):
        """One of Kafka's own command-line tools, such as "kafka-consumer-groups"; returns what it says."""
        classes = {"kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
                   "kafka-topics": "org.apache.kafka.tools.TopicCommand"}
        done = subprocess.run(["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
                               f"-Dlog4j.configuration=file:{self.home}/log4j.properties", "-cp", jars(), classes[name],
                               "--bootstrap-server", self.bootstrap, *arguments], capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def set_topic(self, topic, **config):
        """Alters a topic's configuration: set_topic("t", min_insync_replicas=1)."""
        from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
        entries = [ConfigEntry(key.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]).values():
            future.result(30)

    def topic_config(self, topic):
        from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        return {name: entry.value for name, entry in future.result(30).items()}

    def in_sync(self, topic):
        """{partition: how many replicas are in sync}"""
        from confluent_kafka.admin import AdminClient
        meta = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=10).topics[topic]
        return {number: len(partition.isrs) for number, partition in meta.partitions.items()}

    def create_topic(self, topic, partitions=1, **config):
        from confluent_kafka.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config={k: str(v) for k, v in config.items()})
        admin.create_topics([new])[topic].result(30)

    def topics(self):
        from confluent_kafka.admin import AdminClient
        listed = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=10).topics
        return {name: len(meta.partitions) for name, meta in listed.items() if not name.startswith("__")}

    def read(self, topic, timeout=60):
        """Every record of a topic that is committed now, as confluent_kafka.Message, partition by partition.

        A read_committed reader of its own that stops at each partition's end.
        """
        return self.read_all([topic], timeout)[topic]

    def read_all(self, topics, timeout=60):
        """{topic: records}, all by one reader."""
        from confluent_kafka import Consumer, KafkaError, TopicPartition
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"rig-{uuid.uuid4()}", "enable.auto.commit": False,
                             "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "earliest"})
        try:
            listed = consumer.list_topics(timeout=10).topics
            left = {(topic, partition) for topic in topics for partition in listed[topic].partitions}
            found = {topic: [] for topic in topics}
            consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in left])
            while left:
                message = consumer.poll(timeout)
                assert message is not None, f"nothing for {timeout:g} s, not at their ends: {left}"
                if message.error() is None:
                    found[message.topic()].append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic(), message.partition()))
                else:
                    raise RuntimeError(f"{message.topic()}: {message.error()}")
            return {topic: sorted(messages, key=lambda m: (m.partition(), m.offset())) for topic, messages in found.items()}
        finally:
            consumer.close()

    def state(self):
        """What another program needs to find this broker."""
        return {"kind": "kafka", "name": self.name, "pid": self.process.pid, "port": self.port, "url": self.url,
                "bootstrap": self.bootstrap, "log": self.log, "home": self.home, "stop": "TERM"}
