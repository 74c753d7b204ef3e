"""The container image and deploy/compose.yaml. In normal mode what can be told without a container: files, scripts, the list of contents. With
CF_CHECK_MODE=full for real, in a Docker daemon of this test's own: the image is built twice, and the whole of compose.yaml is started, hurt, cut
over and taken down (tests/support/containers says what stands in for the images of others)."""

import contextlib
import glob
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from rig import Workdir, free_port, run_crossfade, wait_until
from rig.containers import ROOT, STAND_INS, Docker, missing
from rig.procs import pid_alive, send_signal
from rig.wait import patient

DEPLOY = os.path.join(ROOT, "deploy")
TOOLS = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossfade", "venv-containers", "bin")
FULL = os.environ.get("CF_CHECK_MODE") == "full"
EPOCH = "1700000000"
OURS = ("prepare", "schema", "capture", "apply", "console", "reverse-capture", "reverse-apply")
ONCE = {"prepare", "shop-data", "schema"}

lint = pytest.mark.skipif(not os.path.exists(os.path.join(TOOLS, "hadolint")), reason="needs tools/deps --container-lint")
real = pytest.mark.skipif(not FULL or missing() is not None, reason=f"CF_CHECK_MODE=full: {missing() or 'ready'}")


def run(*argv, code=0, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=patient(120), check=False, **{"stdin": subprocess.DEVNULL, **more})
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# -- without a container


def is_shell(path):
    with open(path, encoding="utf-8") as f:
        return re.match(r"#!.*\b(ba)?sh\b", f.readline()) is not None


@lint
def test_files_are_clean():
    containerfiles = [path for folder in ("deploy", "tests/support/containers") for path in glob.glob(os.path.join(ROOT, folder, "**", "*Containerfile"), recursive=True)]
    assert len(containerfiles) >= 6
    # DL3006, DL3007: stand-ins build upon each other by names without a registry.
    run(os.path.join(TOOLS, "hadolint"), "--failure-threshold", "info", *containerfiles)
    scripts = [path for folder in ("deploy/container", "deploy/compose", "tests/support/containers") for path in glob.glob(os.path.join(ROOT, folder, "*"))
               if os.path.isfile(path) and is_shell(path)] + [os.path.join(ROOT, "tools", "image")]
    assert len(scripts) >= 9
    run(os.path.join(TOOLS, "shellcheck"), *scripts)
    for path in glob.glob(os.path.join(DEPLOY, "container", "*")) + [os.path.join(ROOT, "tools", "image")]:
        assert os.access(path, os.X_OK), path


def test_builder_has_what_the_build_needs():
    """The packages of tools/deps --build-only, less tools that only developers and tests use; and all of our folders are sent to the builder."""
    def words(text):
        return set(re.findall(r"[a-z0-9][a-z0-9.+-]+", text))
    with open(os.path.join(ROOT, "tools", "deps"), encoding="utf-8") as f:
        needed = words(re.search(r"BUILD_PACKAGES=\((.*?)\)", f.read(), re.S).group(1)) - {"git", "clang-format", "libcmocka-dev"}
    with open(os.path.join(DEPLOY, "Containerfile"), encoding="utf-8") as f:
        installed = words(re.search(r"apt-get install[^;]*build-essential[^;]*;", f.read()).group(0))
    assert needed <= installed, needed - installed
    with open(os.path.join(ROOT, ".dockerignore"), encoding="utf-8") as f:
        ignored = {line.strip() for line in f if not line.startswith("#")}
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as f:
        modules = {line.split()[1].rstrip(")").split("/")[0] for line in f if line.startswith("cf_module(")}
    assert len(modules) > 8 and not modules & ignored


def compose_file(name="compose.yaml"):
    program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    return json.loads(run(os.path.join(TOOLS, "python"), "-c", program, os.path.join(DEPLOY, name)))


@lint
def test_compose_file_keeps_its_word():
    compose = compose_file()
    services, volumes, networks = compose["services"], set(compose["volumes"]), set(compose["networks"])
    assert set(OURS) | ONCE | {"source", "target", "kafka", "pgbouncer", "customers", "prometheus"} == set(services)
    for name, service in services.items():
        where = f"service {name}"
        assert "build" in service or service["image"] in STAND_INS, where
        for depended, how in service.get("depends_on", {}).items():
            wants = "service_completed_successfully" if depended in ONCE else "service_healthy"
            assert how["condition"] == wants and (depended in ONCE or "healthcheck" in services[depended]), where
        # One that runs for long is looked at, comes back by itself, and ends when it is told to.
        if name not in ONCE:
            assert service["restart"] == "unless-stopped", where
            assert "healthcheck" in service or name in OURS or name == "customers", where
        else:
            assert "restart" not in service, where
        assert "no-new-privileges:true" in service["security_opt"] and not service.get("privileged"), where
        assert service.get("network_mode", "none") == "none", where
        if name not in ("source", "target", "kafka"):
            assert service["read_only"] is True and service["cap_drop"] == ["ALL"], where
        assert "user" not in service or service["user"] != "0:0" or (name == "prepare" and service["network_mode"] == "none"), where
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), where
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or os.path.exists(os.path.join(DEPLOY, source)), f"{where}: {mount}"
        assert set(service.get("networks", [])) <= networks, where
        # Secrets are in files: nothing that looks like one stands in an environment or a command.
        for key, value in service.get("environment", {}).items():
            assert "PASS" not in key.upper() or key.endswith("_FILE") or key == "PGPASSFILE", f"{where}: {key}={value}"
        assert not re.search(r"://[^/@ ]+:[^/@ ]+@", json.dumps(service)), where
    # Who reaches what: capture not the target, apply not the source, customers only the pooler's side.
    assert set(services["capture"]["networks"]) == {"source", "journal"} and set(services["apply"]["networks"]) == {"target", "journal"}
    registry = compose_file("compose.registry.yaml")["services"]
    assert registry.pop("registry")["image"] in STAND_INS and set(registry) <= set(OURS)


def test_configuration_of_compose_is_understood():
    done = run_crossfade("check", config=os.path.join(DEPLOY, "compose", "crossfade.yaml"))
    assert done.returncode == 1 and "reachable" in done.stdout, done.stdout + done.stderr  # only the servers are not there


def validate(path):
    """Against CycloneDX's own JSON schema; then every purl, and that every reference leads somewhere."""
    program = ("import sys\nfrom cyclonedx.schema import SchemaVersion\nfrom cyclonedx.validation.json import JsonStrictValidator\n"
               "error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())\nsys.exit(str(error) if error else 0)\n")
    run(os.path.join(TOOLS, "python"), "-c", program, path)
    with open(path, encoding="utf-8") as f:
        document = json.load(f)
    parts = [document["metadata"]["component"], *document["components"]]
    program = "import json, sys\nfrom packageurl import PackageURL\nprint(json.dumps([PackageURL.from_string(p).to_dict() for p in json.load(sys.stdin)]))\n"
    done = subprocess.run([os.path.join(TOOLS, "python"), "-c", program], input=json.dumps([part["purl"] for part in parts]), capture_output=True, text=True,
                          timeout=patient(60), check=True)
    for part, purl in zip(parts, json.loads(done.stdout)):
        assert (purl["type"], purl["namespace"], purl["name"], purl["version"]) == ("deb", "debian", part["name"], part["version"])
    refs = {part["bom-ref"] for part in parts}
    assert len(refs) == len(parts)
    assert {line["ref"] for line in document["dependencies"]} == refs
    assert {ref for line in document["dependencies"] for ref in line["dependsOn"]} <= refs
    return document


@lint
def test_list_of_contents(tmp_path):
    sbom, path = os.path.join(DEPLOY, "container", "sbom"), str(tmp_path / "sbom.json")
    env = dict(os.environ, SOURCE_DATE_EPOCH=EPOCH)
    text = run(sbom, "libpq5", env=env)
    assert run(sbom, "libpq5", env=dict(env, LC_ALL="C.UTF-8", TZ="Asia/Tokyo")) == text
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    document = validate(path)
    assert document["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    installed = dict(line.split() for line in run("dpkg-query", "-W", "-f", "${Package} ${Version}\\n").splitlines() if " " in line.strip())
    named = {part["name"]: part["version"] for part in document["components"]}
    assert len(named) > 100 and named.items() <= installed.items()
    needs = next(line["dependsOn"] for line in document["dependencies"] if "/libpq5@" in line["ref"])
    assert any("/libssl3@" in ref for ref in needs) and any("/libc6@" in ref for ref in needs)
    assert "no package" in subprocess.run([sbom, "no-such-package"], capture_output=True, text=True, check=False).stderr


def test_health_script():
    """It says what /health says, and is not content with silence."""
    script, answer = os.path.join(DEPLOY, "container", "health"), {"code": 200}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer["code"] if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        assert run(script, port) == "HTTP 200\n"
        assert run(script, env=dict(os.environ, CROSSFADE_HEALTH_PORT=str(port))) == "HTTP 200\n"
        answer["code"] = 503
        run(script, port, code=1)
    finally:
        server.shutdown()
        server.server_close()
    run(script, free_port(), code=1)


# -- for real


@pytest.fixture(name="docker", scope="module")
def fixture_docker():
    """CF_CONTAINERS_DIR: a folder for the daemon's data that stays, so that images need not be built again each time."""
    kept = os.environ.get("CF_CONTAINERS_DIR")
    with contextlib.ExitStack() as stack:
        folder = kept or stack.enter_context(Workdir("docker"))
        os.makedirs(folder, exist_ok=True)
        before = set(os.listdir("/sys/class/net"))
        with Docker(folder) as docker:
            docker.remove_all()
            try:
                docker.import_base()
                yield docker
            finally:
                docker.remove_all()
        # Nothing is left of it on this machine: no mount, no process, no bridge.
        assert docker.mounts() == []
        assert set(os.listdir("/sys/class/net")) <= before
        named = [pid for pid in os.listdir("/proc") if pid.isdigit() and folder in command_line(pid) and int(pid) != os.getpid()]
        assert not [pid for pid in named if "docker" in command_line(pid) or "containerd" in command_line(pid)]


def command_line(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().replace(b"\0", b" ").decode(errors="replace")
    return ""


def build_image(docker, tag, *more):
    """CF_IMAGE_PACKAGE: a package to take in place of compiling, for those who wait."""
    package = os.environ.get("CF_IMAGE_PACKAGE")
    return docker.command(os.path.join(ROOT, "tools", "image"), tag, *(["--package", package] if package else []), *more, "--", "--network", "host",
                          timeout=7200, env={"SOURCE_DATE_EPOCH": EPOCH})


@pytest.fixture(name="image", scope="module")
def fixture_image(docker):
    print(build_image(docker, "crossfade:dev"))
    return "crossfade:dev"


@real
def test_image(docker, image, tmp_path):
    said = docker.inspect(image, "image")
    config = said["Config"]
    assert config["User"] == "10001:10001" and config["Entrypoint"] == ["/usr/bin/tini", "--", "/usr/bin/crossfade"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/libexec/crossfade/health"] and config["StopSignal"] == "SIGTERM"
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as f:
        version = re.search(r"project\(crossfade VERSION (\S+)", f.read()).group(1)
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items() if key.startswith("org.opencontainers.image.")}
    assert labels["version"] == version and labels["created"] == "2023-11-14T22:13:20Z" and re.match(r"[0-9a-f]{40}", labels["revision"])
    assert len(said["RootFS"]["Layers"]) <= 3  # the base, ours, and an empty one of WORKDIR
    assert said["Size"] < 300e6

    sealed = ["run", "--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
    assert version in docker.run(*sealed, image, "--version")
    assert docker.run(*sealed, "--entrypoint", "/usr/bin/id", image, "-u").strip() == "10001"
    # Even without a read-only root little can be written; no compiler came along.
    found = docker.run("run", "--rm", "--network", "none", "--entrypoint", "/bin/bash", image, "-c",
                       "find / -xdev \\( -writable -o -user 10001 \\) ! -type l ! -path '/proc*' ! -path '/sys*' ! -path '/dev*'; command -v cc gcc ld cmake || :")
    assert set(found.split()) <= {"/tmp", "/var/tmp", "/var/lib/crossfade", "/run/lock"}, found
    # Process 1 takes up what others leave behind.
    docker.run(*sealed, "--entrypoint", "/usr/bin/tini", image, "--", "/bin/bash", "-c",
               "(sleep 0.2 &); sleep 1; ! grep -l ') Z ' /proc/[0-9]*/stat", timeout=patient(60))
    # A role that has nothing to talk to tries on; told to stop, it does so by itself, and well.
    name = docker.run("run", "-d", *sealed[2:], "--tmpfs", "/tmp", image, "--pipeline=x", "--source.url=postgresql://nobody@127.0.0.1:9/x", "--journal.url=lmdb:/tmp/j", "capture").strip()
    wait_until(lambda: "retry" in docker.command("/usr/bin/docker", "logs", name, check=False).stderr or not docker.inspect(name)["State"]["Running"], 60, "capture tries")
    docker.run("stop", "-t", "60", name)
    assert docker.inspect(name)["State"]["ExitCode"] == 0, docker.command("/usr/bin/docker", "logs", name, check=False).stderr
    docker.run("rm", name)

    path = str(tmp_path / "sbom.json")
    print(build_image(docker, "crossfade:again", "--no-cache", "--sbom", path))
    assert docker.inspect("crossfade:again", "image")["RootFS"]["Layers"] == said["RootFS"]["Layers"], differing_files(docker, image, "crossfade:again")
    document = validate(path)
    assert document["metadata"]["component"]["name"] == "crossfade"
    assert {"libpq5", "librdkafka1", "libc6", "tini", "libmariadb3", "liblmdb0"} <= {part["name"] for part in document["components"]}
    listed = docker.run(*sealed, "--entrypoint", "/usr/bin/dpkg-query", image, "-W", "-f", "${Package}\\n").split()
    assert sorted(listed) == sorted([part["name"] for part in document["components"]] + ["crossfade"])


def differing_files(docker, one, other):
    """For the message: which files of two images differ, in bytes, owner, mode or time."""
    def look(image):
        text = docker.run("run", "--rm", "--network", "none", "-u", "0", "--entrypoint", "/bin/bash", image, "-c",
                          "find / -xdev ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' -printf '%p %m %U %G %s %T@ ' -a -type f -exec sha256sum {} \\; -o -printf '\\n' | sort", timeout=600)
        return set(text.splitlines())
    first, second = look(one), look(other)
    return "\n".join(sorted(first ^ second)[:40])


class Stack:
    """deploy/compose.yaml, as it runs."""

    def __init__(self, docker, *files):
        self.docker, self.files = docker, files
        self.ports = {name: str(free_port()) for name in ("CAPTURE_PORT", "APPLY_PORT", "POOLER_PORT", "PROMETHEUS_PORT")}
        self.env = {**self.ports, "SHOP_SCALE": "1", "SHOP_RATE": "20"}

    def compose(self, *argv, **more):
        extra = [word for file in self.files for word in ("-f", file)]
        return self.docker.compose(*extra, "--profile", "observe", "--profile", "reverse", *argv, **{"timeout": patient(300), "env": self.env, **more})

    def id_of(self, service):
        return self.compose("ps", "-aq", service).strip()

    def state(self, service):
        return self.docker.inspect(self.id_of(service))

    def health(self, service):
        return self.state(service)["State"]["Health"]["Status"]

    def wait_health(self, service, wanted="healthy", timeout=180):
        try:
            wait_until(lambda: self.health(service) == wanted, timeout, f"{service} is {wanted}", interval=1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.state(service)['State'])[-1500:]}\n{self.logs(service)}") from None

    def logs(self, service, lines=30):
        return self.compose("logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service)

    def crossfade(self, *words, code=0, timeout=600):
        done = self.compose("exec", "-T", "console", "crossfade", *words, check=False, timeout=patient(timeout))
        assert done.returncode == code, f"crossfade {' '.join(words)}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def psql(self, side, sql):
        return self.compose("exec", "-T", side, "psql", "-X", "-A", "-t", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "shop", "-v", "ON_ERROR_STOP=1", "-c", sql).strip()

    def caught_up(self):
        self.crossfade("status", "--wait", "caught-up", "--timeout", str(int(patient(120))))


SHOP = "SELECT count(*) FROM simshop_oltp.ledger"


@real
def test_compose_from_the_first_start_to_cutover_and_down(docker, image):
    docker.build_stand_ins([name for name in STAND_INS if "apicurio" not in name])
    docker.build("crossfade-pgbouncer:dev", os.path.join(DEPLOY, "compose", "pgbouncer.Containerfile"), os.path.join(DEPLOY, "compose"))
    stack = Stack(docker)
    stack.compose("config", "--quiet")
    try:
        stack.compose("up", "--detach", "--no-build", timeout=patient(900))
        for service in ("source", "target", "kafka", "pgbouncer", "capture", "apply", "prometheus", "reverse-capture", "reverse-apply"):
            stack.wait_health(service)
        stack.caught_up()
        no_secret_is_seen(docker, stack)
        stack.crossfade("compare", "run")
        hurt(docker, stack)
        stack.crossfade("compare", "run")
        cut_over(stack)
        watched(stack)
        # Told to stop, the roles finish by themselves; a second start of all goes on where the first one was.
        stack.compose("stop", "capture", "apply", "reverse-capture", "reverse-apply")
        assert {stack.state(role)["State"]["ExitCode"] for role in ("capture", "apply", "reverse-capture", "reverse-apply")} == {0}
        stack.compose("up", "--detach", "--no-build", timeout=patient(300))
        stack.wait_health("reverse-apply")
        before = int(stack.psql("target", SHOP))
        wait_until(lambda: int(stack.psql("source", SHOP)) > before, 180, "what customers write on the target comes back to the source", interval=1)
    except (AssertionError, RuntimeError):
        for service in stack.compose("ps", "-a", "--services").split():
            print(f"--- {service}\n{stack.logs(service, 15)}")
        raise
    stack.compose("down", "--volumes", "--remove-orphans")
    assert docker.left() == []


SUBJECTS = r"""exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\nHost: registry\r\n\r\n' >&3; cat <&3"""


@real
def test_compose_with_a_schema_registry(docker, image):
    docker.build_stand_ins([name for name in STAND_INS if "prometheus" not in name])
    stack = Stack(docker, os.path.join(DEPLOY, "compose.registry.yaml"))
    stack.compose("config", "--quiet")
    try:
        stack.compose("up", "--detach", "--no-build", "capture", "apply", "console", timeout=patient(900))
        for service in ("registry", "capture", "apply"):
            stack.wait_health(service)
        stack.caught_up()
        subjects = stack.compose("exec", "-T", "registry", "bash", "-c", SUBJECTS)
        assert '"shop.simshop_oltp.ledger-value"' in subjects and '"shop.simshop_oltp.ledger-key"' in subjects, subjects
        stack.crossfade("--journal.registry=http://registry:8080/apis/ccompat/v7", "journal", "verify")
        stack.crossfade("compare", "run")
    except (AssertionError, RuntimeError):
        for service in stack.compose("ps", "-a", "--services").split():
            print(f"--- {service}\n{stack.logs(service, 15)}")
        raise
    stack.compose("down", "--volumes", "--remove-orphans")
    assert docker.left() == []


def no_secret_is_seen(docker, stack):
    passwords = {line.rpartition(":")[2] for line in stack.compose("exec", "-T", "console", "cat", "/run/secrets/crossfade/pgpass").split()}
    assert len(passwords) == 3 and all(len(password) == 48 for password in passwords)
    for name in docker.run("ps", "-aq").split():
        seen = json.dumps(docker.inspect(name)) + str(docker.command("/usr/bin/docker", "logs", name, check=False))
        assert not [password for password in passwords if password in seen], name
    # A database's own secrets are not where the application's are.
    assert "shop" in stack.compose("exec", "-T", "customers", "ls", "/run/secrets")
    assert "crossfade" not in stack.compose("exec", "-T", "customers", "ls", "/run/secrets")


def restarted(stack, service, times):
    """Kills the service's process 1 from outside; the daemon starts it again."""
    state = stack.state(service)
    send_signal(state["State"]["Pid"], 9)
    wait_until(lambda: not pid_alive(state["State"]["Pid"]), 30, f"{service} is gone")
    wait_until(lambda: stack.state(service)["RestartCount"] >= times and stack.state(service)["State"]["Running"], 60, f"{service} is started again", interval=0.5)


def hurt(docker, stack):
    """Kills, restarts, and a network that goes away, under traffic."""
    restarted(stack, "capture", 1)
    restarted(stack, "apply", 1)
    stack.caught_up()
    docker.run("kill", stack.id_of("kafka"))
    docker.run("start", stack.id_of("kafka"))
    stack.wait_health("kafka")
    docker.run("restart", "-t", "30", stack.id_of("source"))
    stack.wait_health("source")
    stack.caught_up()
    # apply loses the target, and only that: it says so, stays, and goes on when the network is back.
    container, network = stack.id_of("apply"), "crossfade_target"
    docker.run("network", "disconnect", network, container)
    stack.wait_health("apply", "unhealthy")
    assert stack.health("capture") == "healthy"
    there = int(stack.psql("target", SHOP))
    wait_until(lambda: int(stack.psql("source", SHOP)) > there, 60, "customers go on", interval=1)
    docker.run("network", "connect", "--alias", "apply", network, container)
    stack.wait_health("apply")
    stack.caught_up()
    assert stack.state("apply")["RestartCount"] == 1


def cut_over(stack):
    done = stack.compose("exec", "-T", "console", "crossfade", "cutover", "run", "--execute", "--json", "--cutover.reverse=required", check=False, timeout=patient(600))
    report = json.loads(done.stdout)
    refused = [gate for gate in report["gates"] if gate["verdict"] == "refused"]
    assert done.returncode == 0 and report["outcome"] == "done", f"{report['outcome']}: {report['reason']}\n{json.dumps(refused)}\n{done.stderr[-2000:]}"
    print(f"pause {report['pause_ms']} ms")
    ini = stack.compose("exec", "-T", "pgbouncer", "cat", "/etc/pgbouncer/pgbouncer.ini")
    assert re.search(r"(?m)^shop = .*host=target", ini), ini
    # Customers have gone on, and none of them has seen an error: they write on the target now.
    before = int(stack.psql("target", SHOP))
    wait_until(lambda: int(stack.psql("target", SHOP)) > before + 20, 180, "customers write on the new database", interval=1)


def watched(stack):
    query = ["exec", "-T", "prometheus", "promtool", "query", "instant", "http://127.0.0.1:9090"]
    wait_until(lambda: re.search(r"=> 2 @", stack.compose(*query, "sum(up)")), 90, "Prometheus sees both roles", interval=1)
    rules = stack.compose("exec", "-T", "prometheus", "promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    assert "rules found" in rules and "FAILED" not in rules, rules
