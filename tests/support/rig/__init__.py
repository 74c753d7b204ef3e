"""The test rig: real servers, roles of Crossfade, load and oracle for system tests, demonstrations and measurements.

Everything listens on 127.0.0.1 only, lives below a folder of its own, is ended by its process id, and goes away when
its `with` block, the interpreter or (by the kernel's parent-death signal) the whole test process ends.
"""

from .kafka import Kafka
from .load import Load, SumReader
from .oracle import check_ledger, compare, digest
from .pgbouncer import Pgbouncer
from .pipeline import Pipeline
from .ports import free_port
from .postgres import Postgres
from .procs import Process, Role, find_crossfade, run_crossfade
from .wait import Timeout, wait_until
from .workdir import Workdir
from .writer import Writer

__all__ = [
    "Kafka", "Load", "SumReader", "check_ledger", "compare", "digest", "free_port", "Pgbouncer", "Pipeline", "Postgres",
    "Process", "Role", "find_crossfade", "run_crossfade", "Timeout", "wait_until", "Workdir", "Writer",
]
