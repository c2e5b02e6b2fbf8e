"""The life of the engine's process: start it, notice its end, start it again, but never in a fast loop."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from lisa_ros.engine.isolation.errors import EngineDied, EngineError, unpack
from lisa_ros.engine.isolation.shared import SharedArea
from lisa_ros.engine.segmentation import Cancelled

POLL_SECONDS = 0.01
"""How often whoever waits looks whether it is still to wait."""

RESTART_SECONDS = 3.0
"""Least time from one start to the next, and from a failed start to the next attempt: a crash loop costs little."""

END_SECONDS = 2.0
"""How long a process may take to end by itself."""

CLOSED = "the engine was closed"

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Child:
    """One process of the engine. Its end of the pipe is closed when nobody refers to it any more, since a caller may
    still read what the process said last.

    generation: 0 for the first process, 1 for the one after it, ... attributes: those of the engine in it.
    device_memory: bytes by name, as of its newest answer. killed: it was us who ended it. ended: it is no more.
    """

    process: subprocess.Popen
    connection: Connection
    generation: int
    attributes: dict[str, Any] = field(default_factory=dict)
    device_memory: dict[str, int] = field(default_factory=dict)
    killed: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def receive(self) -> Any | None:
        """The next message, or None when there is none for a moment. Raises EOFError when there will be none."""
        try:
            if self.connection.poll(POLL_SECONDS):
                return self.connection.recv()
            # a process that it left behind may hold the pipe open
            if self.ended.is_set() and not self.connection.poll():
                raise EOFError
        except OSError as error:
            raise EOFError from error
        return None

    def kill(self) -> None:
        """End the process, now."""
        if not self.ended.is_set():
            self.killed = True
            self.process.kill()

    def wait(self, patience: float | None = None) -> None:
        """Wait for the end of the process; kill it after ``patience`` seconds."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        self.ended.set()

    def ending(self) -> str:
        """How the process ended, in words."""
        status = self.process.returncode
        if status is None:
            return "closed its pipe and cannot be ended"
        if status >= 0:
            return f"ended with exit status {status}"
        hint = ", as when the machine runs out of memory" if -status == signal.SIGKILL and not self.killed else ""
        return f"ended with signal {-status} ({signal.Signals(-status).name}){hint}"


class Keeper:
    """A thread that keeps one child alive from construction to ``end``.

    hello: the child's first message. areas: the memory it shares.
    state: "loading", "ready", "restarting", "failed: ..." (the next call tries again) or "closed". restarts: how often
    the process was started again.
    """

    def __init__(self, hello: bytes, areas: Sequence[SharedArea]) -> None:
        self.state, self.restarts, self.closed = "loading", 0, False
        self._hello, self._areas = hello, areas
        self._latest: Child | None = None  # loading, ready or dying
        self._ready: Child | None = None
        self._failure: Exception | None = None
        self._retry_at = 0.0
        self._changed = threading.Condition()
        # It must outlive every child that it starts: Linux ends a child with the *thread* that started it.
        self._thread = threading.Thread(target=self._keep, name="lisa-engine-keeper", daemon=True)
        self._thread.start()

    @property
    def child(self) -> Child | None:
        """The child that can be asked now."""
        return self._ready

    def wait_ready(self, should_stop: Callable[[], bool]) -> Child:
        """The child that can be asked, once there is one; after a failed start this makes the next attempt.

        Raises:
            EngineError, ValueError: the engine cannot be loaded, or was closed.
            Cancelled: ``should_stop`` returned True.
        """
        begun = self.restarts
        while True:
            with self._changed:
                if self.closed:
                    raise EngineError(CLOSED)
                if self._ready is not None:
                    return self._ready
                if self._failure is not None:
                    if time.monotonic() < self._retry_at or self.restarts > begun:
                        raise type(self._failure)(str(self._failure))  # not itself: many may raise it
                    self._failure = None
                    self._changed.notify_all()
                self._changed.wait(POLL_SECONDS)
            if should_stop():
                raise Cancelled("the query was cancelled while the engine was being restarted")

    def give_up(self, child: Child) -> None:
        """End a child that is of no more use; another is started."""
        with self._changed:
            if self._ready is child:
                self._ready, self.state = None, "restarting"
        child.kill()

    def retire(self) -> None:
        """No more calls, no more restarts. What runs goes on until ``end``."""
        with self._changed:
            self.closed, self._ready, self.state = True, None, "closed"
            self._changed.notify_all()

    def kill(self) -> None:
        """End the process, now. Waits for nothing."""
        self.retire()
        with self._changed:
            latest = self._latest
        if latest is not None:
            latest.kill()

    def end(self, patience: float) -> None:
        """End the process: wait ``patience`` seconds for it to go, then kill it."""
        self.retire()
        self._thread.join(patience)
        if self._thread.is_alive():
            self.kill()
            self._thread.join(END_SECONDS)

    # ---- the thread ----
    def _keep(self) -> None:
        for generation in itertools.count():
            begun = time.monotonic()
            failure = self._live(generation)
            with self._changed:
                self._latest = self._ready = None
                if not self.closed and failure is not None:
                    self._failure, self._retry_at = failure, time.monotonic() + RESTART_SECONDS
                    self.state = f"failed: {failure}"
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self.closed or self._failure is None)
                elif not self.closed:
                    self.state = "restarting"
                    self._changed.wait_for(lambda: self.closed, max(0.0, begun + RESTART_SECONDS - time.monotonic()))
                if self.closed:
                    return
                self.state = "restarting"
                self.restarts += 1

    def _live(self, generation: int) -> Exception | None:
        """One child from its start to its end; why it could not be loaded, or None when it could."""
        try:
            child = self._start(generation)
        except OSError as error:  # no memory, no process, no file descriptor left
            return EngineError(f"the engine's process cannot be started: {error}")
        with self._changed:
            self._latest = child
        failure = self._load(child)
        with self._changed:
            wanted = failure is None and not self.closed
            if wanted:
                self._ready, self.state = child, "ready"
                self._changed.notify_all()
        if not wanted:
            child.kill()
        child.wait()
        if not self.closed:
            if failure is None:
                logger.warning("the engine's process %s; it is being restarted", child.ending())
            elif generation > 0:
                logger.error("the engine cannot be restarted, the next query tries again: %s", failure)
        return failure

    def _start(self, generation: int) -> Child:
        ours, theirs = Pipe()
        with theirs:
            descriptors = (theirs.fileno(), *(area.fd for area in self._areas))
            # with our path, so that it finds what we find; multiprocessing would import our main module, and so rclpy
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; from lisa_ros.engine.isolation.child import main; "
                f"main{(os.getpid(), *descriptors)!r}"
            )
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C in the terminal does not reach it, not even while Python starts
            )
        return Child(process, ours, generation)

    def _load(self, child: Child) -> Exception | None:
        try:
            child.connection.send_bytes(self._hello)
            while (message := child.receive()) is None:
                if self.closed:
                    return EngineError(CLOSED)
                if child.process.poll() is not None:
                    child.ended.set()
        except (EOFError, OSError):
            child.wait(END_SECONDS)
            return EngineDied(f"the engine's process {child.ending()} while it loaded the model")
        _, kind, content = message
        if kind == "error":
            return unpack(*content)
        child.attributes = content
        return None
