"""Waiting for something to become true: a position, an event, never a length of time."""

import time


class Timeout(AssertionError):
    """What was waited for did not come."""


def wait_until(fn, timeout=30.0, what="condition", interval=0.05):
    """Calls fn until it returns something true, and returns that. The last answer is part of the complaint.

    Time in which nothing ran (a machine that was suspended, a group of processes that was frozen) is not counted.
    """
    waited, before = 0.0, time.monotonic()
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
