# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Settings of the shop. Not what a production site should look like, but what many do."""
import os
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent.parent
REDIS_URL = os.environ.get("SHOP_REDIS_URL", "redis://127.0.0.1:6379/0")
SECRET_KEY = "not a secret"
DEBUG = True
ALLOWED_HOSTS = os.environ.get("SHOP_ALLOWED_HOSTS", "shop.example").split()
ROOT_URLCONF = "core.urls"
WSGI_APPLICATION = "core.wsgi.application"
USE_TZ = True
SECURE_SSL_REDIRECT = bool(os.environ.get("SHOP_SSL"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "orders",
    "recommendations",
    "toolbar.apps.ToolbarConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "toolbar.middleware.ToolbarMiddleware",
    "django.middleware.common.CommonMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"debug": DEBUG},
    },
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SHOP_DATABASE", ":memory:")},
    "reports": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "reports",
        "HOST": "127.0.0.1",
        "OPTIONS": {"connect_timeout": 60, "sslmode": "prefer"},
    },
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"max_connections": 7, "retry_on_timeout": True}},
    },
    "pages": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
if django.VERSION >= (4, 0):
    CACHES["native"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    }
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "django": {"level": "DEBUG"},
        "django.db.backends": {"level": "DEBUG"},
        "audit": {"level": "INFO"},
        "django.security": {"level": "ERROR"},
    },
}
CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = REDIS_URL
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_TIME_LIMIT = float(os.environ.get("SHOP_TIME_LIMIT", 600)) or None
CELERY_BEAT_SCHEDULE = {
    "bill": {"task": "orders.tasks.bill", "schedule": 1.0, "options": {"queue": "scheduled"}},
}
if "SHOP_POOL" in os.environ:
    CELERY_WORKER_POOL = os.environ["SHOP_POOL"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = True
CELERY_TASK_ROUTES = {
    "recommendations.tasks.train_model": {"queue": "slow"},
    "orders.tasks.bill": {"queue": "bills"},
}
