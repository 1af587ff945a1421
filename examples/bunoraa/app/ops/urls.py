from django.urls import path

from . import views

urlpatterns = [
    path("settings/", views.settings),
    path("gunicorn/", views.gunicorn),
    path("processes/", views.processes),
    path("celery/", views.celery),
    path("publish/", views.publish),
    path("tasks/", views.tasks),
    path("runs/", views.runs),
]
