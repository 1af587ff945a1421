"""Pages for whoever runs the shop. The ingress does not publish /ops/."""

import json

from celery import current_app
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from . import batches, effective, process, publishing, server

INSPECT = ("conf", "stats", "active_queues", "active", "reserved", "registered", "processes")


@require_GET
def settings(request):
    return JsonResponse({**effective.facts(), "process": process.this_process()})


@require_GET
def gunicorn(request):
    return JsonResponse({"gunicorn": server.facts(), "process": process.this_process()})


@require_GET
def processes(request):
    return JsonResponse({"processes": process.all_processes()})


@require_GET
def celery(request):
    """Asks the workers; `only` names the questions. Each takes `timeout` seconds."""
    inspect = current_app.control.inspect(timeout=float(request.GET.get("timeout", 1)))
    only = request.GET.get("only")
    questions = [name for name in INSPECT if not only or name in only.split(",")]
    return JsonResponse({name: server.plain(ask(inspect, name)) for name in questions})


def ask(inspect, name):
    if name == "conf":
        return inspect.conf(with_defaults=True)
    if name == "processes":
        return inspect._request("processes")
    return getattr(inspect, name)()


@csrf_exempt
@require_POST
def publish(request):
    body = json.loads(request.body)
    task = publishing.registered(body["task"])
    if task is None:
        return JsonResponse({"error": f"no task {body['task']}"}, status=400)
    options = {key: body[key] for key in ("queue", "countdown") if key in body}
    ids, error = publishing.publish(
        task,
        int(body.get("count", 1)),
        body.get("args", []),
        body.get("kwargs", {}),
        body.get("batch", ""),
        **options,
    )
    answer = {"task": task.name, "batch": body.get("batch", ""), "published": len(ids)}
    if error:
        return JsonResponse({**answer, "error": error}, status=503)
    return JsonResponse(answer, status=201)


@require_GET
def tasks(request):
    batch = request.GET.get("batch", "")
    return JsonResponse({"batch": batch, "tasks": batches.summary(batch)})


@require_GET
def runs(request):
    batch = request.GET.get("batch", "")
    return JsonResponse({"batch": batch, "runs": list(batches.runs(batch).values())})
