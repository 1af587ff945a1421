# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Run as `python3 -I -c CODE SOURCE TARGET VERIFY NAME=SHA256...`: this text stands in the pod
template. Copies the files it was made for, and no others; every one is checked before any is written."""
import hashlib
import os
import signal
import sys

signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))  # process 1 ignores it otherwise
source, target, verify, *expected = sys.argv[1:]
checked = {}
for item in expected:
    name, _, digest = item.partition("=")
    with open(os.path.join(source, name), "rb") as file:
        checked[name] = file.read()
    if hashlib.sha256(checked[name]).hexdigest() != digest:
        sys.exit("memorybudget: %s is not the file that this pod was made for" % name)
os.makedirs(target, exist_ok=True)
for name, data in checked.items():
    with open(os.path.join(target, name), "wb") as file:
        file.write(data)
if verify == "1":
    os.execv(sys.executable, [sys.executable, "-I", os.path.join(target, "verify.py")])
