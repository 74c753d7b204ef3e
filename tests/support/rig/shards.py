"""Several apply processes of one pipeline, each with a part of the tables."""

import copy
import json
import os

from .ports import free_port
from .procs import Role


def shard_roles(settings, folder, name, n, **more):
    """A role for each of n shards, with a configuration of its own: the pipeline's settings, and more keys of `apply`. Not started; the caller closes them."""
    roles = []
    for k in range(1, n + 1):
        own, port = copy.deepcopy(settings), free_port()
        own["apply"].update(shard=f"{k}/{n}", listen=f"127.0.0.1:{port}", **more)
        path = os.path.join(str(folder), f"{name}-{k}-{n}.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(own, f)
        roles.append(Role("apply", path, f"{path}.log", port=port))
    return roles
