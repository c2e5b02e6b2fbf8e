"""Starting the node and the replay as processes of their own, and never leaving one behind."""
from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lisa_ros

GRACE_SECONDS = 5.0
_LIBC = ctypes.CDLL(None)


class Process:
    """One process in a group of its own, its output in a log file."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, nothing that a thread could hold a lock of
            )

    @property
    def pid(self) -> int:
        """Its process id, also the id of its group."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log, indented."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n".join(f"    {line}" for line in text[-lines:]) or "    (the log is empty)"

    def stop(self) -> int:
        """Interrupt its group, kill what is left after a few seconds, and return its exit status."""
        for number, patience in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, None)):
            if self._process.poll() is None:
                self._signal(number)
            try:
                self._process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        self._signal(signal.SIGKILL)  # whatever it left in its group
        return self._process.returncode

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # the group has gone


def _end_with_parent() -> None:
    """In the child: ask Linux for a SIGTERM when the parent is gone, even if it was killed and could not stop anyone."""
    if sys.platform == "linux":
        _LIBC.prctl(1, signal.SIGTERM)  # 1 = PR_SET_PDEATHSIG


def ros_process(name: str, module: str, parameters: Mapping[str, Any], *, log: Path, env: Mapping[str, str]) -> Process:
    """A node of this package as a process: `python -m <module> --ros-args -p name:=value ...`."""
    arguments = [part for key, value in parameters.items() for part in ("-p", f"{key}:={_yaml(value)}")]
    return Process(name, [sys.executable, "-m", module, "--ros-args", *arguments], log=log, env=env)


def private_environment(log_folder: Path) -> dict[str, str]:
    """Set up this process's environment for a ROS domain of its own on this machine, and return a copy for the others.

    To be called before rclpy is imported.
    """
    os.environ["ROS_DOMAIN_ID"] = str(free_domain())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.pop("ROS_LOCALHOST_ONLY", None)  # the older setting would override the range
    os.environ["ROS_LOG_DIR"] = str(log_folder / "ros")
    source = Path(lisa_ros.__file__).parents[1]
    prefixes = [Path(prefix) / "share" / "lisa_ros" for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    profiles = [folder / "config" / "fastdds.xml" for folder in (source, *prefixes)]
    if profile := next(filter(Path.is_file, profiles), None):  # room for camera images in shared memory
        os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))
    paths = [str(source), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",
        "RCUTILS_COLORIZED_OUTPUT": "0",
    }


def free_domain() -> int:
    """A ROS domain id that nobody on this machine seems to use: the port of its first participant can be bound."""
    candidates = list(range(1, 102))
    random.shuffle(candidates)
    for domain in candidates:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
                return domain
            except OSError:
                continue
    return candidates[0]


def _yaml(value: Any) -> str:
    """A parameter value as ROS arguments want it; text is quoted so that "5" stays text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)
