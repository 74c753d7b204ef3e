"""What `cmake --install` and `cpack -G DEB` give: all that belongs in, with the right modes, and it runs from there."""

import os
import re
import shutil
import stat
import subprocess

import pytest

from rig import Workdir, free_port

BUILD = os.environ.get("CF_BUILD_DIR", "")
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FILES = ["bin/crossfade", "share/man/man1/crossfade.1.gz", "share/crossfade/schemas/fence.schema.json",
         "share/crossfade/schemas/report.schema.json", "share/crossfade/schemas/sql/source.sql", "share/crossfade/schemas/sql/target.sql", "share/crossfade/privileges/source-capture.sql",
         "share/doc/crossfade/README.md", "share/doc/crossfade/CONFIG.md", "share/doc/crossfade/OPERATIONS.md",
         "share/doc/crossfade/changelog.gz", "share/doc/crossfade/examples/crossfade.example.yaml",
         "lib/systemd/system/crossfade-capture@.service", "lib/systemd/system/crossfade-apply@.service",
         "lib/systemd/system/crossfade-compare@.service", "lib/systemd/system/crossfade-compare@.timer",
         "share/bash-completion/completions/crossfade", "share/zsh/vendor-completions/_crossfade",
         "share/doc/crossfade/METRICS.md", "share/doc/crossfade/examples/crossfade.rules.yaml", "share/doc/crossfade/examples/crossfade.json"]

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "cmake_install.cmake")), reason="needs CF_BUILD_DIR")


def run(*argv, **more):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, **more)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(name="prefix", scope="module")
def fixture_prefix():
    with Workdir("package") as folder:
        prefix = os.path.join(str(folder), "prefix")
        run("cmake", "--install", BUILD, "--prefix", prefix)
        yield prefix


def version():
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as f:
        return re.search(r"project\(crossfade VERSION (\S+)", f.read()).group(1)


def test_all_files_with_their_modes(prefix):
    found = {os.path.relpath(os.path.join(at, name), prefix) for at, _, names in os.walk(prefix) for name in names}
    assert set(FILES) <= found
    for path in found:
        mode = stat.S_IMODE(os.stat(os.path.join(prefix, path)).st_mode)
        assert mode == (0o755 if path == "bin/crossfade" else 0o644), f"{path} {mode:o}"
    assert "etc/crossfade/crossfade.example.yaml" in found
    assert not [path for path in found if "evidence" in path or path.endswith((".c", ".h", ".html"))]


def test_it_runs_from_there(prefix):
    binary = os.path.join(prefix, "bin", "crossfade")
    assert version() in run(binary, "--version", cwd="/")
    assert "usage: crossfade" in run(binary, "--help", cwd="/")


def test_man_page_renders(prefix):
    if not shutil.which("man"):
        pytest.skip("no man here")
    page = os.path.join(prefix, "share", "man", "man1", "crossfade.1.gz")
    done = subprocess.run(["man", "--warnings", "-l", page], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env=dict(os.environ, MANWIDTH="100", LC_ALL="C.UTF-8", MANPAGER="cat"))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    for words in ("CROSSFADE(1)", "crossfade capture", "crossfade cutover", "source.tables"):
        assert words in done.stdout


def test_example_configuration_parses(prefix):
    """All of it is understood; only the servers are not there."""
    example = os.path.join(prefix, "share", "doc", "crossfade", "examples", "crossfade.example.yaml")
    nowhere = f"postgresql://127.0.0.1:{free_port()}/x"
    binary = os.path.join(prefix, "bin", "crossfade")

    def check(path):
        return subprocess.run([binary, "-c", path, f"--source.url={nowhere}", f"--target.url={nowhere}",
                               f"--journal.url=lmdb:{prefix}/journal", "check"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False, env=dict(os.environ, KAFKA_PASSWORD="x", REGISTRY_PASSWORD="x"))
    done = check(example)
    assert done.returncode == 1 and "reachable" in done.stdout, done.stdout + done.stderr
    # What is commented out is no less right: every "# key: value" line of it is put in force.
    with open(example, encoding="utf-8") as f:
        text = re.sub(r"(?m)^( *)# ( *[a-z_.]+:(?: .*)?)$", r"\1\2", f.read().replace('  # url: "kafka', '  # # url: "kafka'))
    assert "\n    sasl.mechanisms" in text and "\n  drain_timeout_s" in text
    full = os.path.join(prefix, "full.yaml")
    with open(full, "w", encoding="utf-8") as f:
        f.write(text)
    done = check(full)
    assert done.returncode == 1 and "reachable" in done.stdout, f"{done.stdout}{done.stderr}\n{text}"


def test_debian_package(prefix):
    if not shutil.which("dpkg-shlibdeps"):
        pytest.skip("no dpkg-dev here")
    folder = os.path.join(prefix, "deb")
    run("cpack", "-G", "DEB", "-B", folder, cwd=BUILD)
    package, = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb")]
    assert os.path.basename(package) == f"crossfade_{version()}_{run('dpkg', '--print-architecture').strip()}.deb"
    depends = run("dpkg-deb", "-f", package, "Depends")
    for library in ("libpq5", "libmariadb3", "librdkafka1", "liblmdb0", "libjansson4", "libfyaml0", "libmicrohttpd12", "libutf8proc2", "libc6"):
        assert library in depends, depends
    listed = [line.split() for line in run("dpkg-deb", "-c", package).splitlines()]
    paths = {words[5][len("./usr/"):]: words for words in listed}
    assert set(FILES) <= set(paths)
    assert "./etc/crossfade/crossfade.example.yaml" in [words[5] for words in listed] and "etc/crossfade/crossfade.example.yaml" not in paths
    for words in listed:
        want = "drwxr-xr-x" if words[0][0] == "d" else "-rwxr-xr-x" if words[5].endswith("/bin/crossfade") else "-rw-r--r--"
        assert words[0] == want and words[1] == "root/root", words
