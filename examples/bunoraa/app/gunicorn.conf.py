import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
loglevel = "debug"
accesslog = "-"


def post_worker_init(worker):
    from ops import server

    server.remember(worker)


def worker_exit(server, worker):
    server.log.info("Worker %s (age %s) exits", worker.pid, worker.age)


def child_exit(server, worker):
    server.log.info("Worker %s (age %s) is gone", worker.pid, worker.age)
