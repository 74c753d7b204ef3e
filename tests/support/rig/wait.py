"""Waiting for something to become true: a position, an event, never a length of time."""

import time


class Timeout(AssertionError):
    """What was waited for did not come."""


def wait_until(fn, timeout=30.0, what="condition", interval=0.05):
    """Calls fn until it returns something true, and returns that. The last answer is part of the complaint."""
    deadline = time.monotonic() + timeout
    while True:
        last = fn()
        if last:
            return last
        if time.monotonic() >= deadline:
            raise Timeout(f"{what}: not within {timeout:g} s (last answer: {last!r})")
        time.sleep(interval)
