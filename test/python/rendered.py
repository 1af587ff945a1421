# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The shop's containers as the operator renders them, started as the kubelet would.

``testdata/shop.json`` is written and checked by a Go test, from ``testdata/shop.yaml``. Left out of it
are the texts of the Python files and their hashes, so that it does not change with each of them.
"""
import hashlib
import json
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = Path(os.environ.get("MEMORYBUDGET_PYTHON_SOURCE") or HERE.parent.parent / "internal/settings/python")

_objects = json.loads((HERE / "testdata" / "shop.json").read_text())
_pods = {item["metadata"]["labels"]["memorybudget.dev/tier"]: item["spec"]["template"]["spec"]
         for item in _objects if item["kind"] == "Deployment"}
#: The content of settings.json.
SHARED = json.loads(next(item for item in _objects if item["kind"] == "ConfigMap")["data"]["settings.json"])


def digest(path):
    """Return NAME=SHA256 of a file."""
    return "%s=%s" % (path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def expand(text, defined):
    """Replace references as the kubelet does: $(NAME) where it is defined; $$ is a dollar sign."""
    return re.sub(r"\$\$|\$\(([^()]*)\)",
                  lambda found: "$" if found.group() == "$$" else defined.get(found.group(1), found.group()), text)


class Container:
    """A container of a tier's pod, with its directory ``/memorybudget`` at another place."""

    def __init__(self, tier, home, init=False):
        """Describe the container that runs the tier, or the one that verifies."""
        self.spec = _pods[tier]["initContainers" if init else "containers"][0]
        self.home = Path(home)

    def placed(self, text):
        """Return a text with the operator's directory replaced."""
        return re.sub(r"(?<!\w)/memorybudget(?=/)", str(self.home), text)

    def environment(self, secret, address, env_from):
        """Return the variables, given the value of each Secret, the pod's address and what envFrom brings."""
        found = dict(env_from)
        for entry in self.spec["env"]:
            source = entry.get("valueFrom")
            if source:
                found[entry["name"]] = secret if "secretKeyRef" in source else address
            else:
                found[entry["name"]] = expand(self.placed(entry.get("value", "")), found)
        return found

    def command(self, environment):
        """Return the command line."""
        words = [expand(self.placed(word), environment)
                 for word in [*self.spec["command"], *self.spec.get("args", [])]]
        return [self.filled(word) for word in [sys.executable, *words[1:]]]

    def filled(self, word):
        """Return a word with what was left out of shop.json put back."""
        if word == "(bootstrap.py)":
            return (SOURCE / "bootstrap.py").read_text()
        if word.endswith("=HASH"):
            return digest(self.home / "source" / word[:-len("=HASH")])
        return word

    def probe(self):
        """Return the command of the liveness probe."""
        words = [self.placed(word) for word in self.spec["livenessProbe"]["exec"]["command"]]
        return [sys.executable, *words[1:]]
