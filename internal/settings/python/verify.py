# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs ``probe`` in a process of its own and writes what came back, always with exit status 0.

Started by path with ``python3 -I``, so nothing of the application is imported here. The report is
JSON of at most 4096 bytes in the file ``MEMORYBUDGET_TERMINATION_LOG`` (default
``/dev/termination-log``). Whatever the application prints goes to the container's log; it cannot
end this process, outlast ``MEMORYBUDGET_VERIFY_TIMEOUT`` seconds (default 120), or keep the tier
from starting: when the kernel kills the whole container for its memory, the marker file tells the
next try to report that instead of trying again. A pod that is deleted meanwhile is gone at once.
"""
import json
import os
import select
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MARKER = os.path.join(HERE, ".probing")
LIMIT = 4096
TIMEOUT = 120
#: Keys that a report may have, in the order in which they are dropped where it is too long.
KEYS = ("settings", "lost", "imports", "baselineBytes", "gunicorn", "celery", "django", "python")


def command(descriptor):
    """Return the probe's command line: the tier's own interpreter, paths and environment."""
    return [sys.executable, "-B", "-m", "memorybudget.probe", str(descriptor)]


def start():
    """Start the probe; return it and the end of the pipe on which it reports."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen(command(write_end), pass_fds=[write_end], stdin=subprocess.DEVNULL,
                               start_new_session=True)
    os.close(write_end)
    return process, read_end


def receive(read_end, deadline):
    """Return the lines that the probe wrote until it was done, gone or late, and whether it was late."""
    data = b""
    while b"\ndone\n" not in data and len(data) < 64 * LIMIT:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([read_end], [], [], left)[0]:
            return data.split(b"\n")[:-1], True
        chunk = os.read(read_end, 65536)
        if not chunk:
            break
        data += chunk
    return data.split(b"\n")[:-1], False


def kill(process):
    """End the probe and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass


def end(process):
    """Wait shortly for the probe, then end it and all that it started; return its exit status."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        pass
    kill(process)
    return process.wait()


def failure(lines, late, status):
    """Return the problem that kept the probe from finishing, or None if it finished."""
    if lines[-1:] == [b"done"]:
        return None
    if late:
        return "ImportTimedOut"
    if status == -signal.SIGKILL:
        return "OutOfMemory"
    if status < 0:
        return "ImportCrashed"
    return "ImportExited" if lines else "OverlayNotImportable"


def last_report(lines):
    """Return the newest report among the lines; the probe writes one per stage."""
    for line in reversed(lines):
        try:
            report = json.loads(line.decode("ascii"))
        except ValueError:
            continue
        if isinstance(report, dict):
            return report
    return {}


def leave(number, frame):
    """End for a signal, which would have no effect on process 1; what is under way is cleared away."""
    raise SystemExit(128 + number)


def probe():
    """Run the probe; return its report with the problem that ended it, if any."""
    timeout = float(os.environ.get("MEMORYBUDGET_VERIFY_TIMEOUT") or TIMEOUT)
    process, read_end = start()
    try:
        lines, late = receive(read_end, time.monotonic() + timeout)
        if late:
            kill(process)
        problem = failure(lines, late, end(process))
    except SystemExit:
        kill(process)
        raise
    report = last_report(lines)
    found = report.get("problems")
    report["problems"] = [*(found if isinstance(found, list) else []), *([problem] if problem else [])]
    return report


def compose(report):
    """Return the message: fixed keys only, and never longer than the limit."""
    fixed = {"v": 1, "hash": os.environ.get("MEMORYBUDGET_HASH", "")[:64],
             "tier": os.environ.get("MEMORYBUDGET_TIER", "")[:63]}
    kept = [key for key in KEYS if key in report]
    problems = [str(problem)[:64] for problem in report["problems"][:32]]
    while True:
        message = {**fixed, **{key: report[key] for key in reversed(kept)}, "problems": problems}
        text = json.dumps(message, separators=(",", ":"))
        if len(text) <= LIMIT or not kept:
            return text[:LIMIT]
        kept.pop(0)


def once():
    """Return a report, from the probe or, where the last try did not survive, about that."""
    survived = not os.path.exists(MARKER)
    with open(MARKER, "wb"):
        pass
    try:
        return probe() if survived else {"problems": ["OutOfMemory"]}
    finally:
        os.remove(MARKER)


def main():
    """Write the report; a failure of ours is a problem to report, never a reason not to start."""
    signal.signal(signal.SIGTERM, leave)
    try:
        text = compose(once())
    except Exception:  # noqa: BLE001 - see above
        text = compose({"problems": ["VerificationFailed"]})
    path = os.environ.get("MEMORYBUDGET_TERMINATION_LOG") or "/dev/termination-log"
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        print("memorybudget: cannot write the report: %s" % error, file=sys.stderr)


if __name__ == "__main__":
    main()
