"""Prints, twice a second, what the cgroup of every pod of this node holds: one JSON object a line.

usage and rss are bytes, oomKills the processes that the kernel killed since the pod was first seen, processes those of
the pod's containers, its pause container left out. Knows cgroup v1 and v2.
"""

import json
import os
import re
import time

ROOT = "/host/cgroup"
V1 = os.path.isdir(ROOT + "/memory")
TOP = ROOT + "/memory" if V1 else ROOT
POD = re.compile(r"pod([0-9a-f]{8}([-_])[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12})")
DEPTH = 8

kills = {}


def pods():
    """Yields the UID and the directory of each pod."""
    for directory, names, _ in os.walk(TOP):
        for name in list(names):
            if match := POD.search(name):
                names.remove(name)
                yield match[1].replace("_", "-"), os.path.join(directory, name)
        if directory.count("/") - TOP.count("/") >= DEPTH:
            names.clear()


def read(*path):
    with open(os.path.join(*path)) as file:
        return file.read()


def field(text, name):
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def sample(uid, directory):
    containers = [entry.path for entry in os.scandir(directory) if entry.is_dir()]
    if V1:
        usage, rss = int(read(directory, "memory.usage_in_bytes")), field(read(directory, "memory.stat"), "total_rss")
        # A kill counts in the cgroup whose limit was reached, and nowhere above it.
        counted = [(path, field(read(path, "memory.oom_control"), "oom_kill")) for path in [directory, *containers]]
    else:
        usage, rss = int(read(directory, "memory.current")), field(read(directory, "memory.stat"), "anon")
        counted = [(directory, field(read(directory, "memory.events"), "oom_kill"))]
    seen = kills.setdefault(uid, {})
    for path, count in counted:
        seen[path] = max(seen.get(path, 0), count)
    processes = sum(len(read(path, "cgroup.procs").split()) for path in containers)
    return {"usage": usage, "rss": rss, "oomKills": sum(seen.values()), "processes": max(0, processes - 1)}


while True:
    found = {}
    for uid, directory in pods():
        try:
            found[uid] = sample(uid, directory)
        except OSError:
            pass  # The pod goes as we look.
    print(json.dumps({"time": time.time(), "pods": found}), flush=True)
    time.sleep(0.5)
