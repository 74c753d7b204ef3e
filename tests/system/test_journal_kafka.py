"""The journal's component tests once more, on a real broker: the same executables, told its address."""

import os
import subprocess

import pytest

from rig import Workdir
from rig.kafka import Kafka

BUILD = os.environ.get("CF_BUILD_DIR") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "dev")


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka():
    with Workdir("journal-kafka") as folder, Kafka(folder) as kafka:
        yield kafka


def run(kafka, name, *arguments, **env):
    done = subprocess.run([os.path.join(BUILD, "tests", name), *arguments], capture_output=True, text=True, timeout=600, check=False,
                          env={**os.environ, "CF_KAFKA_BOOTSTRAP": kafka.bootstrap, **env})
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "not run" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("kind", ["kafka", "idempotent"])
@pytest.mark.parametrize("suite", ["journal_conformance_test", "journal_ranges_test"])
def test_conformance(kafka, suite, kind):
    run(kafka, suite, kind)


def test_schema_stream(kafka):
    run(kafka, "journal_schema_stream_test")


def test_kafka_only(kafka):
    run(kafka, "journal_kafka_test", CF_KAFKA_PID=str(kafka.process.pid))
