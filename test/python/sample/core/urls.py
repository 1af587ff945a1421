# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""URLs of the shop."""
from django.conf import settings
from django.urls import path

from core import views

urlpatterns = [
    path("healthz", views.healthz),
    path("settings", views.effective),
    path("publish/<str:name>", views.publish),
    path("leak/<int:megabytes>", views.leak),
    path("slow/<int:seconds>", views.slow),
]
if settings.DEBUG:
    from toolbar import views as toolbar_views

    urlpatterns.append(path("toolbar", toolbar_views.index))
