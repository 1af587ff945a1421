# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
"""The code in the pod template: copies what it was made for, and nothing else."""
import os
import signal
import subprocess
import sys

import pytest
from conftest import bootstrap, digests, make_source
from rendered import SHARED, SOURCE


def ignore_sigterm():
    """Make a new process ignore SIGTERM unless it handles it, as process 1 of a container does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@pytest.fixture
def source(tmp_path):
    """Return a directory like the mounted ConfigMap."""
    return make_source(tmp_path / "source", SHARED)


def test_copies_every_file(source, tmp_path):
    target = tmp_path / "lib" / "memorybudget"
    done = bootstrap(source, target)
    assert done.returncode == 0, done.stdout
    assert digests(target) == digests(source)


@pytest.mark.parametrize("name", ["settings.py", "settings.json", "verify.py"])
def test_refuses_a_changed_file_and_writes_nothing(source, tmp_path, name):
    files = digests(source)
    with open(source / name, "a") as file:
        file.write("\n")
    done = bootstrap(source, tmp_path / "lib", files=files)
    assert done.returncode == 1
    assert name in done.stdout.decode()
    assert not (tmp_path / "lib").exists()


def test_leaves_files_that_it_was_not_made_for(source, tmp_path):
    files = digests(source)
    (source / "evil.py").write_text("print('evil')")
    assert bootstrap(source, tmp_path / "lib", files=files).returncode == 0
    assert "evil.py" not in os.listdir(tmp_path / "lib")


def test_fails_on_a_missing_file(source, tmp_path):
    files = digests(source)
    (source / "loader.py").unlink()
    assert bootstrap(source, tmp_path / "lib", files=files).returncode != 0


def test_runs_nothing_of_the_directory_or_of_pythonpath(source, tmp_path):
    (tmp_path / "hashlib.py").write_text("raise SystemExit(9)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = bootstrap(source, tmp_path / "lib", environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_second_run_replaces_the_copy(source, tmp_path):
    assert bootstrap(source, tmp_path / "lib").returncode == 0
    (tmp_path / "lib" / "settings.py").write_text("broken")
    assert bootstrap(source, tmp_path / "lib").returncode == 0
    assert digests(tmp_path / "lib") == digests(source)


def test_a_pod_that_is_deleted_is_gone_at_once(source, tmp_path):
    """As process 1 of a container, a program without a handler for it ignores SIGTERM."""
    os.mkfifo(source / "slow")
    process = subprocess.Popen([sys.executable, "-I", "-c", (SOURCE / "bootstrap.py").read_text(), str(source),
                                str(tmp_path / "lib"), "0", "slow="], preexec_fn=ignore_sigterm)
    writer = os.open(source / "slow", os.O_WRONLY)  # returns once it reads
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    os.close(writer)


def test_is_small_enough_for_a_pod_template():
    assert (SOURCE / "bootstrap.py").stat().st_size < 2048
