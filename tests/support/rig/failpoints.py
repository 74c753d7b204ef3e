"""The failpoints that the sources name, so that a new one cannot be forgotten."""

import os
import re

_REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
_CALL = re.compile(r'\bfailpoint\(\s*(?:"([^"]+)"|([a-z_]+)\b)')
_COMPOSED = {"cutover/walk.c"}  # names its points after its states: see the cutover test


def failpoints(*folders):
    """{name: file} of every failpoint("name") below these folders of the sources (all of them without an argument)."""
    found = {}
    for folder in folders or ("capture", "apply", "compare", "cutover", "cli", "lib"):
        for root, _, names in os.walk(os.path.join(_REPOSITORY, folder)):
            for name in names:
                path = os.path.relpath(os.path.join(root, name), _REPOSITORY)
                if name.endswith(".c") and not path.startswith("lib/core/"):
                    _read(path, found)
    return found


def _read(path, found):
    with open(os.path.join(_REPOSITORY, path), encoding="utf-8") as f:
        for point, variable in _CALL.findall(f.read()):
            assert point or path in _COMPOSED, f"{path}: failpoint({variable}): the name must be a literal, so that tests find it"
            if point:
                found[point] = path
