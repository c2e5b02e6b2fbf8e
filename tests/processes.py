"""For tests of whole processes: starts them with ROS parameters, in a session of their own, and ends what is left."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.fixture
def start():
    """start(command, name=value, ...) -> Popen in a session of its own."""
    processes = []

    def start(command, *arguments, **parameters):
        options = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        process = subprocess.Popen(
            [sys.executable, *command, *arguments, *(["--ros-args", *options] if options else [])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=dict(os.environ),
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_line(process: subprocess.Popen, words: str) -> None:
    """Read what a process of `start` says until a line has these words."""
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the process ended without saying: {words}")
