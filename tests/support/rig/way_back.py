"""The way back of a pipeline: its two reversed roles, with the rights of docs/PRIVILEGES.md."""

import json
import os

from . import privileges
from .cutting import refusals
from .ports import free_port
from .procs import Role
from .wait import wait_until

NO_LOOP = {"origin": "not_crossfade"}  # of the section capture


def prepare(source_url, target_url):
    """Both databases as if the page's blocks for the way back had been followed; the target's tables become the owner's. On MariaDB: only the source;
    there the rights come with the database (create_db(…, jobs=(…, "reverse-target")))."""
    if not privileges.is_superusers(target_url):
        return privileges.run_blocks(source_url, "reverse-source", owner=privileges.OWNER, schemas=".")
    privileges.give_to_owner(target_url)
    privileges.prepare_target(target_url, owner=privileges.OWNER)
    privileges.run_blocks(source_url, "reverse-source", owner=privileges.OWNER, schemas=".")
    return privileges.run_blocks(target_url, "reverse-target", owner=privileges.OWNER, schemas=".")


class WayBack:
    """with WayBack(pipeline) as back: back.start(); back.rollback("plan")"""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.capture_port, self.apply_port = free_port(), free_port()
        settings = pipeline.settings
        settings.setdefault("capture", {}).update(NO_LOOP)
        settings["reverse"] = {"capture_listen": f"127.0.0.1:{self.capture_port}", "apply_listen": f"127.0.0.1:{self.apply_port}"}
        pipeline.write()
        if pipeline.roles:
            prepare(pipeline.source_url, pipeline.target_url)
        self.capture, self.apply = (self._role(name, port) for name, port in (("capture", self.capture_port), ("apply", self.apply_port)))

    def _role(self, name, port):
        return Role(f"--reverse {name}", self.pipeline.config, os.path.join(self.pipeline.folder, f"{self.pipeline.name}-reverse-{name}.log"), port=port)

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        for role in (self.capture, self.apply):
            role.close()
        if kind is None:
            for role in (self.capture, self.apply):
                assert not role.sanitizer_reports(), f"{role.name}\n{role.log_tail(120)}"

    def start(self):
        """Capture's slot is there, and apply has taken its first fence."""
        self.capture.start()
        self.capture.wait_for(lambda status: status["phase"] == "streaming", 60, "streams")
        self.apply.start()
        self.apply.wait_for(lambda status: status.get("complete"), 60, "stands at a fence")
        return self

    def run(self, *words, expected=0, timeout=300):
        """expected: an exit code, or several."""
        done = self.pipeline.run(*words, "--json", timeout=timeout, job="cutover")
        assert done.returncode in (expected if isinstance(expected, tuple) else (expected,)), f"{words}: exit code {done.returncode}\n{refusals(done.stdout)}\n{done.stderr[-2500:]}{self.ended()}"
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return json.loads(done.stdout)

    def ended(self):
        """Why roles are not there that were started."""
        roles = (self.pipeline.capture, self.pipeline.apply, self.capture, self.apply)
        return "\n".join(role.log_tail(12) for role in roles if not role.running)

    def cutover(self, *words, **more):
        return self.run("cutover", *words, **more)

    def rollback(self, *words, **more):
        return self.run("rollback", *words, **more)

    def resume_beside_successor(self):
        """Behind the decision of a rollback that was killed: by a person, while its successor is at it. One of them leads it to its end, to whom the other says so."""
        done = self.pipeline.run("rollback", "resume", "--json", timeout=300, job="cutover")
        assert done.returncode in (0, 4, 10) and "Sanitizer" not in done.stderr, f"exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr}"
        reason = json.loads(done.stdout)["reason"]
        assert done.returncode == 0 or "running right now" in reason or "was cut over already" in reason, reason
        wait_until(lambda: self.rollback("status")["stands"] == "done", 60, "it is done, by whomever")

    def process(self, words):
        """A command that is to be killed or stopped: process("rollback run --execute")."""
        log = os.path.join(self.pipeline.folder, f"{self.pipeline.name}-{words.split()[0]}.log")
        return Role(f"{words} --json", self.pipeline.config_of("cutover"), log)
