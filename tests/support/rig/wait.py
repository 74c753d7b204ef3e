"""Waiting for something to become true: a position, an event, never a length of time."""

import os
import time

PATIENCE = float(os.environ.get("CF_PATIENCE", "1"))


def patient(seconds):
    """A limit for something that is sure to come, as long as this machine may need: CF_PATIENCE times it, where others compute beside us.

    Below two seconds it is not a limit but how long a test looks on while something must not happen.
    """
    return seconds * PATIENCE if seconds is not None and seconds >= 2 else seconds


class Timeout(AssertionError):
    """What was waited for did not come."""


def wait_until(fn, timeout=30.0, what="condition", interval=0.05):
    """Calls fn until it returns something true, and returns that. The last answer is part of the complaint.

    Time in which nothing ran (a machine that was suspended, a group of processes that was frozen) is not counted.
    """
    timeout, waited, before = patient(timeout), 0.0, time.monotonic()
    while True:
        last = fn()
        if last:
            return last
        if waited >= timeout:
            raise Timeout(f"{what}: not within {timeout:g} s (last answer: {last!r})")
        time.sleep(interval)
        now = time.monotonic()
        waited += min(now - before, max(5.0, 2 * interval))
        before = now
