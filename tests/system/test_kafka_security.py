"""TLS and logins against a real broker: SASL PLAIN, SCRAM-SHA-256/512, client certificates; and what is told when they are refused."""

import os

import pytest

from rig import Kafka, Postgres, Workdir, free_port
from rig.certificates import Authority
from rig.procs import halts
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"
PASSWORD, WRONG = "right-Xk29-secret", "wrong-Qz71-secret"
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


def broker_properties(ours, sasl, mutual, plain, expired):
    jaas = "org.apache.kafka.common.security"
    scram = {f"listener.name.sasl.{m.lower()}.sasl.jaas.config": f"{jaas}.scram.ScramLoginModule required;" for m in MECHANISMS[1:]}
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual},EXPIRED://127.0.0.1:{expired},CONTROLLER://127.0.0.1:{{controller}}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual},EXPIRED://127.0.0.1:{expired}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL,EXPIRED:SSL",
        "ssl.keystore.type": "PEM", "ssl.keystore.location": ours.keystore("broker", "127.0.0.1"),
        "ssl.truststore.type": "PEM", "ssl.truststore.location": ours.certificate,
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.type": "PEM", "listener.name.expired.ssl.keystore.location": ours.keystore("expired", "127.0.0.1", expired=True),
        "listener.name.sasl.sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "listener.name.sasl.plain.sasl.jaas.config": f'{jaas}.plain.PlainLoginModule required user_crossfade="{PASSWORD}";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
        **scram,
    }


def grant_rights(kafka):
    """What docs/OPERATIONS.md says that a login needs, and nothing else. The client with a certificate may not read groups."""
    from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType
    allowed = [("User:crossfade", ResourceType.GROUP, "*", "READ")]
    for user in ("User:crossfade", "User:CN=client"):
        allowed += [(user, ResourceType.TOPIC, "*", name) for name in ("READ", "WRITE", "CREATE", "DESCRIBE_CONFIGS")]
        allowed.append((user, ResourceType.TRANSACTIONAL_ID, "*", "WRITE"))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    acls = [AclBinding(kind, name, ResourcePatternType.LITERAL, user, "*", AclOperation[right], AclPermissionType.ALLOW)
            for user, kind, name, right in allowed]
    for future in admin.create_acls(acls).values():
        future.result(30)


def add_scram_users(kafka):
    from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        new = UserScramCredentialUpsertion("crossfade", ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
        for future in admin.alter_user_scram_credentials([new]).values():
            future.result(30)


class Secure:
    """A broker that has, besides the rig's own listener, one with logins over TLS and one that wants client certificates."""

    def __init__(self, folder, kafka, ours, theirs, sasl, mutual, expired):
        self.folder, self.kafka, self.ours, self.theirs = folder, kafka, ours, theirs
        self.sasl_url, self.mutual_url = f"kafka://127.0.0.1:{sasl}", f"kafka://127.0.0.1:{mutual}"
        self.expired_url, self.other_host_url = f"kafka://127.0.0.1:{expired}", f"kafka://localhost:{sasl}"

    def login(self, mechanism, password=PASSWORD, authority=None):
        return {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.username": "crossfade", "sasl.password": password,
                "ssl.ca.location": (authority or self.ours).certificate}

    def certificate(self, authority):
        certificate, key = authority.issue("client")
        return {"security.protocol": "SSL", "ssl.ca.location": self.ours.certificate, "ssl.certificate.location": certificate,
                "ssl.key.location": key}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("security") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="secure", scope="module")
def fixture_secure(servers):
    folder = os.path.join(str(servers[0]), "tls")
    os.mkdir(folder)
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    plain, sasl, mutual, expired = (free_port() for _ in range(4))
    kafka = Kafka(servers[0], port=plain)
    kafka.properties = {key: value.replace("{controller}", str(kafka.controller_port))
                        for key, value in broker_properties(ours, sasl, mutual, plain, expired).items()}
    with kafka:
        add_scram_users(kafka)
        grant_rights(kafka)
        yield Secure(folder, kafka, ours, theirs, sasl, mutual, expired)


def pipeline(servers, url, properties):
    return scenario(*servers, T, journal=url, more={"journal": {"kafka": properties}})


def moves_rows(s):
    s.start()
    s.source("UPDATE t SET v = 'encrypted' WHERE id < 50", "DELETE FROM t WHERE id = 7")
    s.assert_equal()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_login_over_tls(servers, secure, mechanism):
    with pipeline(servers, secure.sasl_url, secure.login(mechanism)) as s:
        moves_rows(s)
        assert "group_offsets" not in s.apply.log_text()
        for words in (["check"], ["journal", "list"], ["status"]):
            done = s.pipeline.run(*words)
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
            assert PASSWORD not in done.stdout + done.stderr
        for role in (s.capture, s.apply):
            assert PASSWORD not in role.log_text() + role.get("/status")[1] + role.get("/metrics")[1]


def test_broker_restarts_are_no_refusal(servers, secure):
    """A connection that breaks while it logs in is not a wrong password."""
    with pipeline(servers, secure.sasl_url, secure.login("SCRAM-SHA-512")) as s:
        s.start()
        for n in range(2):
            secure.kafka.kill9()
            s.source(f"UPDATE t SET v = 'restart {n}' WHERE id % 2 = {n}")
            secure.kafka.start()
            s.assert_equal(120)
        assert s.capture.running and s.apply.running


def test_client_certificate(servers, secure):
    """It may not read the group: one warning, nothing else."""
    with pipeline(servers, secure.mutual_url, secure.certificate(secure.ours)) as s:
        moves_rows(s)
        s.apply.wait_log("group_offsets", 60)
        s.source("UPDATE t SET v = 'goes on'")
        s.assert_equal()
        assert s.apply.log_text().count("group_offsets") == 1


def refused(s, *words):
    """Both roles end with 4 and one clear line, soon; the check fails with the same; no password anywhere."""
    done = s.pipeline.run("check", timeout=60)
    assert done.returncode == 1
    said = [done.stdout + done.stderr]
    for role in (s.capture, s.apply):
        role.start()
        halts(role, 4, "class=auth")
        said.append(role.log_text())
    for text in said:
        for word in words:
            assert word in text, f"'{word}' is not in: {text}"
        assert PASSWORD not in text and WRONG not in text


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_wrong_password(servers, secure, mechanism):
    with pipeline(servers, secure.sasl_url, secure.login(mechanism, WRONG)) as s:
        refused(s, "journal.kafka", "sasl")


def test_broker_that_is_not_trusted(servers, secure):
    with pipeline(servers, secure.sasl_url, secure.login("PLAIN", authority=secure.theirs)) as s:
        refused(s, "certificate", "ssl.")


def test_broker_whose_certificate_has_run_out(servers, secure):
    with pipeline(servers, secure.expired_url, {"security.protocol": "SSL", "ssl.ca.location": secure.ours.certificate}) as s:
        refused(s, "certificate", "ssl.")


def test_broker_that_is_another_host(servers, secure):
    """Its certificate is for 127.0.0.1, and it was asked for as localhost."""
    with pipeline(servers, secure.other_host_url, secure.login("PLAIN")) as s:
        refused(s, "certificate", "ssl.")


def test_client_certificate_that_is_not_trusted(servers, secure):
    with pipeline(servers, secure.mutual_url, secure.certificate(secure.theirs)) as s:
        refused(s, "certificate", "ssl.")


def test_no_certificate_where_one_is_wanted(servers, secure):
    with pipeline(servers, secure.mutual_url, {"security.protocol": "SSL", "ssl.ca.location": secure.ours.certificate}) as s:
        refused(s, "certificate", "ssl.")


def test_certificate_file_that_is_not_there(servers, secure):
    with pipeline(servers, secure.sasl_url, {**secure.login("PLAIN"), "ssl.ca.location": "/nowhere/ca.pem"}) as s:
        s.capture.start()
        s.capture.assert_exit(2, 30)
        text = s.capture.log_text()
        assert "ssl.ca.location" in text and "/nowhere/ca.pem" in text and PASSWORD not in text
