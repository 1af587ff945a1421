"""The gunicorn worker that this process is, remembered by gunicorn.conf.py."""

import math

worker = None


def remember(gunicorn_worker):
    global worker
    worker = gunicorn_worker


def plain(value):
    """Returns the value as JSON has it: whatever JSON cannot say as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if callable(value):
        return getattr(value, "__qualname__", None) or repr(value)
    return str(value)


def facts():
    if worker is None:
        return None
    return {
        "age": worker.age,
        "pid": worker.pid,
        "ppid": worker.ppid,
        "booted": worker.booted,
        "alive": worker.alive,
        "requests": worker.nr,
        "max_requests": worker.max_requests if worker.max_requests < 2**31 else 0,
        "worker_class": worker.cfg.worker_class_str,
        "settings": {
            name: plain(setting.get()) for name, setting in sorted(worker.cfg.settings.items())
        },
    }
