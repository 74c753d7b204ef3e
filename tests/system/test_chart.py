"""The Helm chart: linted, rendered and validated against Kubernetes' own schemas, without a cluster; what it renders fits the program and the restricted
Pod Security Standard; what would start and be wrong is refused before."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from rig import Workdir
from rig.pages import blocks
from rig.procs import find_crossfade

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
CHART = os.path.join(ROOT, "deploy", "helm", "crossfade")
TOOLS = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "crossfade", "kubernetes", "bin")
sys.path.append(os.path.join(os.path.dirname(TOOLS), "python"))
yaml = pytest.importorskip("yaml", reason="no PyYAML: run tools/deps --kubernetes")
HELM, VALIDATE = (os.path.join(TOOLS, name) for name in ("helm", "kubectl-validate"))
KUBERNETES = ("1.27", "1.30")
CONFIG = {"pipeline": "shop", "source": {"url": "postgresql://me:${credential-url:source-password}@old/shop", "tables": ["public.*"]},
          "target": {"url": "postgresql://me:${credential-url:target-password}@new/shop"}, "journal": {"url": "kafka://k:9092"}}
ALL = {"config": CONFIG, "credentials": {"secret": "shop-credentials"}, "ca": {"configMap": "ca"}, "apply": {"shards": 3, "extraArgs": ["--log.level=debug"]},
       "reverse": {"enabled": True}, "compare": {"reportClaim": "reports", "deadlineSeconds": 3600}, "cutover": {"enabled": True, "command": "run", "confirm": "shop"},
       "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "imagePullSecrets": [{"name": "pull"}], "priorityClassName": "high",
       "image": {"repository": "registry.example.com/crossfade", "digest": "sha256:" + "0" * 64},
       "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}], "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
       "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "data", "operator": "Exists"}], "podAnnotations": {"a": "b"}, "podLabels": {"team": "db"},
       "affinity": {"nodeAffinity": {}}, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
       "env": [{"name": "TZ", "value": "UTC"}], "serviceAccount": {"annotations": {"role": "x"}}}
TLS = {"config": {**CONFIG, "control": {"tls_cert": "/run/credentials/crossfade/tls.crt", "tls_key": "/run/credentials/crossfade/tls.key"}}, "credentials": {"secret": "s"}, "ca": {"secret": "ca"},
       "serviceMonitor": {"enabled": True, "tlsConfig": {"ca": {"secret": {"name": "ca", "key": "ca.pem"}}}}}
# Numbers that YAML writes with an exponent, once they have gone through a template.
LARGE = {"config": {**CONFIG, "apply": {"batch_max_bytes": 268435456}}, "compare": {"deadlineSeconds": 1000000}, "terminationGracePeriodSeconds": 1000000}
ALONE = {"config": CONFIG, "capture": {"enabled": False}, "apply": {"shards": 64}, "compare": {"enabled": False}, "cutover": {"enabled": True}, "podDisruptionBudget": {"enabled": False},
         "networkPolicy": {"enabled": False}, "serviceAccount": {"create": False}}
_, _, _page = next(one for one in blocks(os.path.join(ROOT, "docs", "KUBERNETES.md")) if one[1] == "yaml")
SETS = {"least": {"config": CONFIG}, "all": ALL, "tls": TLS, "large": LARGE, "alone": ALONE, "page": yaml.safe_load(_page)}

pytestmark = pytest.mark.skipif(not os.path.exists(HELM), reason="no helm: run tools/deps --kubernetes")


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("chart") as folder:
        yield str(folder)


def helm(folder, verb, values, *words, release="shop"):
    path = os.path.join(folder, "values.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(values, f)  # JSON is YAML
    argv = [HELM, verb, *([] if verb == "lint" else [release]), CHART, "-f", path, "--kube-version", f"{KUBERNETES[0]}.0", *words]  # without it, one that Helm was built for
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
                          env=dict(os.environ, HELM_CONFIG_HOME=folder, HELM_CACHE_HOME=folder, HELM_DATA_HOME=folder))


def rendered(folder, values, **more):
    done = helm(folder, "template", values, "--namespace", "moves", **more)
    assert done.returncode == 0, done.stderr
    return [d for d in yaml.safe_load_all(done.stdout) if d]


def of_kind(documents, kind):
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


def pods(documents):
    """{name: spec of the pods that it makes}"""
    found = {}
    for d in documents:
        spec = d.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if d["kind"] == "Pod":
            found[d["metadata"]["name"]] = d["spec"]
        elif "template" in spec:
            found[d["metadata"]["name"]] = spec["template"]["spec"]
    return found


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_lint(folder, values):
    done = helm(folder, "lint", values, "--strict")
    assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(not os.path.exists(VALIDATE), reason="no kubectl-validate: run tools/deps --kubernetes")
@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_objects_are_what_kubernetes_knows(folder, values):
    path = os.path.join(folder, "rendered")
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    for i, d in enumerate(rendered(folder, values)):
        if d["kind"] != "ServiceMonitor":  # of the Prometheus operator
            with open(os.path.join(path, f"{i}.yaml"), "w", encoding="utf-8") as f:
                yaml.safe_dump(d, f)
    for version in KUBERNETES:
        done = subprocess.run([VALIDATE, path, "--version", version], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0 and "ERROR" not in done.stdout, done.stdout + done.stderr


def test_what_there_is(folder):
    documents = rendered(folder, ALL)
    stateful = of_kind(documents, "StatefulSet")
    assert set(stateful) == {f"shop-crossfade-{name}" for name in ("capture", "capture-back", *(f"apply{way}-{k}" for way in ("", "-back") for k in (1, 2, 3)))}
    assert all(d["spec"]["replicas"] == 1 for d in stateful.values())
    assert set(of_kind(documents, "Service")) == set(stateful)
    for kind in ("CronJob", "Job", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "ConfigMap", "ServiceAccount"):
        assert len(of_kind(documents, kind)) == 1, kind
    # What a selector names is what pods carry, and the Job's pods are no part of the budget.
    for d in stateful.values():
        assert d["spec"]["selector"]["matchLabels"].items() <= d["spec"]["template"]["metadata"]["labels"].items()
        assert of_kind(documents, "Service")[d["metadata"]["name"]]["spec"]["selector"] == d["spec"]["selector"]["matchLabels"]
    least = rendered(folder, SETS["least"])
    assert {d["kind"] for d in least} == {"ConfigMap", "ServiceAccount", "Service", "StatefulSet", "CronJob", "PodDisruptionBudget", "NetworkPolicy", "Pod"}
    assert yaml.safe_load(of_kind(least, "ConfigMap")["shop-crossfade"]["data"]["crossfade.yaml"]) == CONFIG


def test_values_arrive_as_they_are(folder):
    documents = rendered(folder, LARGE)
    assert yaml.safe_load(of_kind(documents, "ConfigMap")["shop-crossfade"]["data"]["crossfade.yaml"]) == LARGE["config"]
    job, = of_kind(documents, "CronJob").values()
    assert job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 1000000
    documents = rendered(folder, TLS)
    assert {c["livenessProbe"]["httpGet"]["scheme"] for spec in pods(documents).values() for c in spec["containers"] if "livenessProbe" in c} == {"HTTPS"}
    monitor, = of_kind(documents, "ServiceMonitor").values()
    assert monitor["spec"]["endpoints"][0]["scheme"] == "https" and monitor["spec"]["endpoints"][0]["tlsConfig"]["ca"]["secret"]["name"] == "ca"
    kinds = {d["kind"] for d in rendered(folder, ALONE)}
    assert kinds == {"ConfigMap", "Service", "StatefulSet", "Job", "Pod"}, kinds


def test_names_fit(folder):
    """A release's name may have 53 characters; 52 of a StatefulSet's or a CronJob's leave room for what Kubernetes puts behind it in labels of 63."""
    documents = rendered(folder, {**ALL, "apply": {"shards": 64}}, release="r" * 53)
    for kind in ("StatefulSet", "CronJob"):
        assert all(len(name) <= 52 for name in of_kind(documents, kind)), max(of_kind(documents, kind), key=len)
    assert len(of_kind(documents, "StatefulSet")) == 130 and all(len(name) <= 63 for d in documents for name in [d["metadata"]["name"]])


def test_pods_are_restricted(folder):
    """pod-security.kubernetes.io/enforce: restricted."""
    for name, spec in pods(rendered(folder, ALL)).items():
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        assert spec["automountServiceAccountToken"] is False and not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), name
        assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {"projected", "emptyDir", "secret", "persistentVolumeClaim"}, name
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["capabilities"]["drop"] == ["ALL"] and own["readOnlyRootFilesystem"], name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]) and "memory" in container["resources"]["limits"], name
            assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in spec["volumes"]}, name


def test_the_program_understands_it(folder):
    """Its arguments and configuration, by the program itself; and probes ask for pages that it has."""
    documents = rendered(folder, ALL)
    config, credentials = os.path.join(folder, "crossfade.yaml"), os.path.join(folder, "credentials")
    with open(config, "w", encoding="utf-8") as f:
        f.write(of_kind(documents, "ConfigMap")["shop-crossfade"]["data"]["crossfade.yaml"])
    os.makedirs(credentials, exist_ok=True)
    for name in ("source-password", "target-password"):
        with open(os.path.join(credentials, name), "w", encoding="utf-8") as f:
            f.write("p@ss\n")
    shards = set()
    for name, spec in pods(documents).items():
        words = spec["containers"][0]["args"]
        # An option that is not there is the only thing that is wrong: all that stands before it is understood.
        done = subprocess.run([find_crossfade(), "-c", config, *words, "--no-such.option=1"], capture_output=True, text=True, timeout=60, check=False,
                              env=dict(os.environ, CREDENTIALS_DIRECTORY=credentials))
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "no-such.option" in done.stderr, f"{name}: {words}\n{done.stderr}"
        shards |= {w for w in words if w.startswith("--apply.shard=")}
        ports = {p["containerPort"] for p in spec["containers"][0].get("ports", [])}
        listen = [w for w in words if re.match(r"--(reverse\.)?(capture|apply)[._]listen=0\.0\.0\.0:", w)]
        assert {int(w.rpartition(":")[2]) for w in listen} == ports and len(ports) == (1 if spec.get("restartPolicy") != "Never" else 0), name
        if ports:
            probes = {kind: spec["containers"][0][f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
            assert probes == {"liveness": "/healthz", "readiness": "/readyz"}
    assert shards == {f"--apply.shard={k}/3" for k in (1, 2, 3)}
    with open(os.path.join(ROOT, "lib", "control", "http_server.c"), encoding="utf-8") as f:
        server = f.read()
    assert '"/healthz"' in server and '"/readyz"' in server and '"/metrics"' in server
    # All reach the roles by the names of Services that are there: the cutover, and each role the others, whom its page tells of.
    services, roles = set(of_kind(documents, "Service")), {f"{way}{role}" for way in ("", "reverse.") for role in ("capture", "apply")}
    for name, spec in pods(documents).items():
        listen = dict(w.removeprefix("--").split("=") for w in spec["containers"][0]["args"] if "listen=" in w)
        if spec.get("restartPolicy") != "Never" or "cutover" in name:
            assert {key.replace("_listen", "").replace(".listen", "") for key in listen} == roles, name
            others = {address.rpartition(":")[0] for address in listen.values()} - {"0.0.0.0"}
            assert len(others) == (4 if "cutover" in name else 3) and others <= services, name


REFUSED = [({"config": {**CONFIG, "journal": {"url": "lmdb:/x"}}}, "lies on one machine's disk"),
           ({"config": {**CONFIG, "apply": {"shard": "1/2"}}}, "apply.shards"),
           ({"config": CONFIG, "cutover": {"enabled": True, "command": "run"}}, "cutover.confirm"),
           ({"config": {"pipeline": "shop"}}, "source"),
           ({"config": {**CONFIG, "pipeline": "Shop!"}}, "pipeline"),
           ({"config": CONFIG, "apply": {"shards": 0}}, "shards"),
           ({"config": CONFIG, "capture": {"shards": 2}}, "capture"),
           ({"config": CONFIG, "aply": {}}, "aply"),
           ({"config": CONFIG, "cutover": {"command": "go"}}, "command"),
           ({"config": CONFIG, "terminationGracePeriodSeconds": 1}, "terminationGracePeriodSeconds")]


@pytest.mark.parametrize("values, words", REFUSED, ids=[words for _, words in REFUSED])
def test_refused(folder, values, words):
    done = helm(folder, "template", values)
    assert done.returncode != 0 and words in done.stderr, done.stderr + done.stdout
