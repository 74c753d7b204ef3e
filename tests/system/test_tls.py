"""TLS to PostgreSQL and MariaDB with certificates of one's own: who proves what to whom when the URL asks for it, and when it says nothing."""

import json
import os
import shutil
import ssl

import pytest

from rig import Postgres, Workdir, wait_until
from rig.certificates import Authority
from rig.control import send
from rig.mariadb import ROLE, MariaDB
from rig.procs import halts
from rig.scenario import scenario
from rig.workdir import give_to_server_user, server_user
from test_mariadb import case

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"
NAME = "db.crossfade.test"  # a host that is not this machine, as far as its name tells; hostaddr leads back here
OTHER = "127.1"  # … and a name that libmariadb finds without one


class Tls:
    """One authority, its certificates, and a PostgreSQL whose certificate can be changed while it runs."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "tls")
        os.mkdir(self.folder)
        self.ours, self.theirs = Authority(self.folder, "ours"), Authority(self.folder, "theirs")
        self.good = self.ours.issue("good", host=NAME)
        self.expired = self.ours.issue("expired", host=NAME, expired=True)
        self.maria = self.ours.issue("maria", host=OTHER)
        self.maria_expired = self.ours.issue("maria-expired", host=OTHER, expired=True)

    def wear(self, server, pair, on=True):
        """The server shows this certificate to whoever comes from now on."""
        for path, name in zip(pair, ("server.crt", "server.key")):
            to = os.path.join(server.home, name)
            shutil.copy(path, to)
            if server_user():
                os.chown(to, server_user().pw_uid, server_user().pw_gid)
            os.chmod(to, 0o600)
        server.configure(ssl="on" if on else "off", ssl_cert_file=os.path.join(server.home, "server.crt"), ssl_key_file=os.path.join(server.home, "server.key"))
        wait_until(lambda: server.value("SHOW ssl") == ("on" if on else "off"), 20, "the setting holds")


@pytest.fixture(name="tls", scope="module")
def fixture_tls():
    with Workdir("tls") as folder:
        yield Tls(folder)


def remote(url, host=NAME, **options):
    """The same database under the name of another machine."""
    head, _, tail = url.partition("@127.0.0.1:")
    words = "&".join(f"{key}={value}" for key, value in {"hostaddr": "127.0.0.1", **options}.items())
    return f"{head}@{host}:{tail}?{words}"


def checked(pipeline, side="source"):
    """What `crossfade check` says of reaching that side."""
    done = pipeline.run("check", "--json")
    found = [c for c in json.loads(done.stdout)["checks"] if c["side"] == side and c["check"] == "reachable"]
    assert len(found) == 1, done.stdout
    return found[0]["state"], found[0]["found"]


def test_postgres(tls, monkeypatch):
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", tls.folder)  # no ~/.postgresql
    with Postgres(tls.folder, "source") as source, Postgres(tls.folder, "target") as target, scenario(tls.folder, source, target, T) as s:
        for server in (source, target):
            tls.wear(server, tls.good)
        settings = s.pipeline.settings
        source_url, target_url = settings["source"]["url"], settings["target"]["url"]

        def said(expected, *words, **url):
            settings["source"]["url"] = remote(source_url, **url)
            s.pipeline.write()
            state, text = checked(s.pipeline)
            assert state == expected, text
            for word in words:
                assert word in text, f"'{word}' is not in: {text}"

        trusted = {"sslrootcert": tls.ours.certificate}
        # Nothing is said of TLS: a server of another machine has to prove who it is.
        said("fail", "verify-full", "root certificate")
        said("ok", **trusted)
        said("fail", "certificate", sslrootcert=tls.theirs.certificate)
        said("fail", "does not match host name", host="elsewhere.crossfade.test", **trusted)
        said("ok", host="elsewhere.crossfade.test", sslmode="verify-ca", **trusted)
        said("ok", sslmode="disable")
        monkeypatch.setenv("PGSSLMODE", "disable")  # said, too
        said("ok")
        monkeypatch.delenv("PGSSLMODE")
        # … and one of this machine has not.
        settings["source"]["url"] = source_url
        s.pipeline.write()
        assert checked(s.pipeline)[0] == "ok"

        # A whole run in which every session is encrypted: the roles', pg_dump's, a comparison's.
        settings["source"]["url"], settings["target"]["url"] = remote(source_url, **trusted), remote(target_url, **trusted)
        s.pipeline.write()
        s.start()
        s.source("UPDATE t SET v = 'encrypted' WHERE id < 50")
        s.assert_equal()
        for words in (["schema", "compare"], ["compare", "run"]):
            done = s.pipeline.run(*words)
            assert done.returncode == 0, done.stdout + done.stderr
        for server in (source, target):
            seen = server.sql("SELECT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE 'crossfade%'")
            assert seen and all(ssl for _, ssl in seen), seen
        done = s.pipeline.run("schema", "plan", "--format", "json")
        assert done.returncode in (0, 1) and '"t"' in done.stdout, done.stdout + done.stderr

        # What a running pipeline meets when a certificate runs out: it halts and says so, and goes on with a new one.
        s.capture.kill9()
        tls.wear(source, tls.expired)
        s.capture.start()
        halts(s.capture, 4, "class=auth", "certificate verify failed")
        said("fail", "certificate verify failed", **trusted)
        said("ok", sslmode="require")
        tls.wear(source, tls.good, on=False)
        said("fail", "does not support SSL", "verify-full", **trusted)
        tls.wear(source, tls.good)
        settings["source"]["url"] = remote(source_url, **trusted)
        s.pipeline.write()
        s.capture.start()
        s.source("DELETE FROM t WHERE id = 7")
        s.assert_equal()


def test_mariadb(tls):
    with Postgres(tls.folder, "pg") as source, MariaDB(tls.folder, "maria", settings={}) as maria:
        home = os.path.join(maria.home, "shown")
        os.mkdir(home)
        shown = [os.path.join(home, name) for name in ("cert", "key")]

        def wear(pair):
            for path, to in zip(pair, shown):
                shutil.copy(path, to)
            give_to_server_user(home)
            if maria.settings.get("ssl-cert"):
                maria.sql("FLUSH SSL")

        wear(tls.maria)
        maria.settings.update({"ssl-cert": shown[0], "ssl-key": shown[1], "ssl-ca": tls.ours.certificate})
        maria.restart()
        with case((tls.folder, source, maria), "m", T, "CREATE TABLE t (id int PRIMARY KEY, v longtext) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;\n") as s:
            url = s.target_url.replace("127.0.0.1", OTHER)

            def said(expected, *words, at=url, options=""):
                s.pipeline.settings["target"]["url"] = at + options
                s.pipeline.write()
                state, text = checked(s.pipeline, "target")
                assert state == expected, text
                for word in words:
                    assert word in text, f"'{word}' is not in: {text}"

            trusted = f"?ssl-ca={tls.ours.certificate}"
            said("fail", "certificate", "ssl-ca=FILE")  # nothing is said, and the system's authorities do not know it
            said("ok", options="?ssl-mode=disabled")
            said("ok", at=url.replace(OTHER, "127.0.0.1"))  # this machine
            said("ok", options=trusted)
            said("fail", options=f"?ssl-ca={tls.theirs.certificate}")
            said("fail", at=url.replace(OTHER, "127.0.1"), options=trusted)  # another name than the certificate's
            wear(tls.maria_expired)
            said("fail", options=trusted)
            s.capture.start()
            s.apply.start()
            halts(s.apply, 4, "class=auth", "certificate")
            wear(tls.maria)
            s.start()
            s.source("UPDATE t SET v = 'encrypted' WHERE id < 50")
            s.pipeline.wait_caught_up()
            assert [int(n) for n in maria.sql("SELECT count(*) FROM t WHERE v = 'encrypted'", db="m")[0]] == [49]
            # Over TLS alone, whoever is told to: the server takes no other session of this user.
            maria.sql(f"ALTER USER {ROLE}@'%' REQUIRE SSL")
            said("ok", options=trusted)
            said("fail", "Access denied", options="?ssl-mode=disabled")
            maria.sql(f"ALTER USER {ROLE}@'%' REQUIRE NONE")


def test_roles_over_http(tls):
    """Nobody commands with, or listens to, a certificate that has run out or is another host's."""
    server, client = tls.ours.issue("role", "127.0.0.1"), tls.ours.issue("operator")
    control = {"client_ca": tls.ours.certificate, "ca": tls.ours.certificate, "read": "authenticated"}
    with Postgres(tls.folder, "of_roles") as source, Postgres(tls.folder, "of_roles_target") as target, scenario(tls.folder, source, target, T, more={"control": control}) as s:
        s.pipeline.settings["control"].pop("token_file", None)
        for shown, mine, why in ((server, client, None), (tls.ours.issue("late", "127.0.0.1", expired=True), client, "certificate"),
                                 (tls.ours.issue("elsewhere", host="elsewhere"), client, "certificate"), (server, tls.ours.issue("gone", expired=True), "")):
            s.pipeline.settings["control"].update(tls_cert=shown[0], tls_key=shown[1], client_cert=mine[0], client_key=mine[1])
            s.pipeline.write()
            s.apply.start()
            s.apply.wait_answers(lambda: send(f"https://127.0.0.1:{s.apply.port}/health", method="GET", body=None, context=ssl._create_unverified_context())[0], 60, (OSError,))
            done = s.pipeline.run("apply", "pause")
            text = done.stdout + done.stderr
            assert (done.returncode == 0) == (why is None) and ("pauses" in text) == (why is None) and (why or "") in text.lower(), f"{why}: {text}"
            s.apply.terminate()
