"""What the kernel says about a process."""

import os
import threading

ENVIRONMENT = (
    "DJANGO_SETTINGS_MODULE",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MALLOC_ARENA_MAX",
    "HF_HOME",
    "TORCH_HOME",
)


def status(pid="self"):
    """Returns the lines of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as lines:
        return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def rss_kib(pid="self"):
    return kib(status(pid), "VmRSS")


def peak_kib(pid="self"):
    return kib(status(pid), "VmHWM")


def kib(fields, key):
    return int(fields.get(key, "0 kB").split()[0])


def torch_mapped(pid="self"):
    """Returns whether the process has libtorch in its memory; None if it may not be looked into."""
    try:
        with open(f"/proc/{pid}/maps") as lines:
            return any("libtorch" in line for line in lines)
    except OSError:
        return None


def command(pid):
    with open(f"/proc/{pid}/cmdline") as line:
        return line.read().replace("\0", " ").strip()


def started_at(pid="self"):
    """Returns when the process started, in seconds since 1970."""
    with open(f"/proc/{pid}/stat") as line:
        ticks = int(line.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/stat") as lines:
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def facts(pid="self"):
    fields = status(pid)
    return {
        "pid": int(fields["Pid"]),
        "ppid": int(fields["PPid"]),
        "command": command(pid),
        "started_at": started_at(pid),
        "rss_kib": kib(fields, "VmRSS"),
        "peak_kib": kib(fields, "VmHWM"),
        "threads": int(fields["Threads"]),
        "torch_mapped": torch_mapped(pid),
    }


def this_process():
    return {
        **facts(),
        "python_threads": threading.active_count(),
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
    }


def all_processes():
    """Returns the facts of all processes that can be seen: those of the container."""
    found = []
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit())):
        try:
            found.append(facts(pid))
        except OSError:
            continue  # gone, or not ours
    return found
