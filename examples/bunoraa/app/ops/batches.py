"""What became of the tasks of a batch."""

from collections import Counter, defaultdict

from .models import TaskRecord, TaskRun

MOST_IDS = 20


def runs(batch):
    return TaskRun.objects.filter(batch=batch).order_by("started_at", "id")


def summary(batch):
    records = defaultdict(dict)
    for record in TaskRecord.objects.filter(batch=batch):
        records[record.name][record.task_id] = record
    by_name = defaultdict(list)
    for run in runs(batch):
        by_name[run.name].append(run)
    names = sorted({*records, *by_name})
    return {name: one_name(records[name], by_name[name]) for name in names}


def one_name(records, found):
    started = Counter(run.task_id for run in found)
    finished = Counter(run.task_id for run in found if run.finished_at)
    succeeded = {run.task_id for run in found if run.state == "SUCCESS"}
    lost = [id for id in records if id not in finished]
    waits = list(first_waits(records, found).values())
    return {
        "published": len(records),
        "runs": len(found),
        "started": len(started),
        "finished": len(finished),
        "succeeded": len(succeeded),
        "failed_runs": sum(run.state == "FAILURE" for run in found),
        "not_started": sum(id not in started for id in records),
        "not_finished": len(lost),
        "not_finished_ids": lost[:MOST_IDS],
        "started_more_than_once": sum(times > 1 for times in started.values()),
        "finished_more_than_once": sum(times > 1 for times in finished.values()),
        "redelivered_runs": sum(bool(run.redelivered) for run in found),
        "wait_seconds": {
            "max": round(max(waits), 3) if waits else None,
            "average": round(sum(waits) / len(waits), 3) if waits else None,
        },
        "ran_on": places(found),
        "processes": len({(run.hostname, run.pid) for run in found}),
        "torch_mapped_runs": sum(bool(run.torch_mapped) for run in found),
        "max_rss_kib": max((run.rss_kib or 0 for run in found), default=0),
        "max_peak_kib": max((run.peak_kib or 0 for run in found), default=0),
    }


def first_waits(records, found):
    waits = {}
    for run in found:
        if run.task_id in records and run.task_id not in waits:
            waits[run.task_id] = (run.started_at - records[run.task_id].published_at).total_seconds()
    return waits


def places(found):
    counts = Counter((run.hostname, run.routing_key) for run in found)
    return [
        {"hostname": hostname, "queue": queue, "runs": times}
        for (hostname, queue), times in sorted(counts.items())
    ]
