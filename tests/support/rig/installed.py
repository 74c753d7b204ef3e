"""Programs that tools/deps has put into its cache, beside Debian's own."""

import os
import subprocess


def linked(name, folder, option):
    """The folder `name` of the cache, linked into `folder`; option: of tools/deps, that installs it.

    They are not run from the cache: it may lie in a home that the servers' user cannot enter.
    """
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossfade", name)
    if not os.path.exists(os.path.join(cache, "complete")):
        raise RuntimeError(f"no {name}: run tools/deps {option}")
    programs = os.path.join(str(folder), name)
    if not os.path.exists(programs):
        done = subprocess.run(["cp", "-al", cache, programs], capture_output=True, check=False)
        if done.returncode:  # another file system
            subprocess.run(["cp", "-a", cache, programs], capture_output=True, check=True)
    return programs
