# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The Celery app of the shop."""
import os

from celery import Celery

if os.environ.get("SHOP_HARD_SETTINGS"):
    os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.production"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.production")
app = Celery("core", **({"loader": "app"} if os.environ.get("SHOP_OWN_LOADER") else {}))
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
