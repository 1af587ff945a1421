"""Commands for `celery inspect`."""

from celery.worker.control import inspect_command

from . import process


@inspect_command()
def processes(state, **kwargs):
    """The processes of this worker."""
    return process.all_processes()
