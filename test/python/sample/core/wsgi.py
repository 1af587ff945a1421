# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The WSGI application of the shop."""
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.production")
print("the shop opens")
if os.environ.get("SHOP_IMPORT") == "exit":
    raise SystemExit(3)
if os.environ.get("SHOP_IMPORT") == "vanish":
    os._exit(3)
if os.environ.get("SHOP_IMPORT") == "raise":
    raise RuntimeError("redis://:secret@broker/0 cannot be reached")
if os.environ.get("SHOP_IMPORT") == "hang":
    import time
    time.sleep(600)
if os.environ.get("SHOP_IMPORT") == "killed":
    os.kill(os.getpid(), 9)
application = get_wsgi_application()
