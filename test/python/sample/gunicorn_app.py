# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The shop's own gunicorn file, for those who pass it by name."""
import os

bind = "127.0.0.1:1"
workers = 7
threads = 16
preload_app = True
daemon = True
keepalive = 11
loglevel = "debug"
raw_env = ["DJANGO_SETTINGS_MODULE=core.settings.production", "SHOP_RAW=1"]
seen = os.environ.get("SHOP_SEEN", "/dev/null")


def note(text):
    """Append a line to a file that somebody may look at."""
    with open(seen, "a") as file:
        file.write(text + "\n")


def post_request(worker, req):
    """Count requests; two arguments, as gunicorn allows."""
    note("post_request %s" % req.path)


def when_ready(server):
    """Note that the server is up."""
    note("when_ready")
