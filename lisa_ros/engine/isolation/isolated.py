"""The engine's interface, with the engine itself in another process: encode, ask, close.

Calls go over one at a time and carry numbers. Who waits for an answer looks every few milliseconds whether the caller
still wants it, whether the process still lives, and whether it gave a sign of life in time.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.engine.isolation.child import load_engine
from lisa_ros.engine.isolation.errors import EngineDied, EngineError, EngineRestarted, EngineTimeout, unpack
from lisa_ros.engine.isolation.keeper import CLOSED, END_SECONDS, POLL_SECONDS, Child, Keeper
from lisa_ros.engine.isolation.shared import SharedArea
from lisa_ros.engine.segmentation import Cancelled, Segmentation

_ALL_CALLS = np.iinfo(np.int64).max


class IsolatedFrame:
    """A picture that the engine's process has encoded. It lets go of it when nobody refers to this object any more.

    number: its name there. generation: which process has it.
    """

    def __init__(self, number: int, generation: int, freed: deque[int]) -> None:
        self.number, self.generation = number, generation
        weakref.finalize(self, freed.append, number).atexit = False


class IsolatedEngine:
    """An engine in a process of its own, with the interface of ``lisa_ros.engine.Engine``. Any number of threads may
    use it; their calls wait for each other.

    The process ends with this object, with ``close``, and with this process, also when that is killed. When it ends
    before, it is started again in the background, and frames encoded until then are to be encoded again.

    Attributes:
        name, device, dtype: as the engine's. min_target_probability: the same, may be set.
        timeout: seconds without a sign of life (an answer, or more text) after which a call ends with EngineTimeout;
            0 = wait for ever. May be set at any time. Loading and restarting do not count.
    """

    def __init__(
        self,
        model: str | Path = "lisa-mini",
        *,
        factory: Callable[..., Any] = load_engine,
        timeout: float = 0.0,
        **options: Any,
    ) -> None:
        """Start the process and wait until it has loaded the model.

        Args:
            factory: called there as ``Engine.load`` is, factory(model, **options). A function at the top of a module
                that can be imported there by name (a script's own module cannot); the module should not import rclpy.
            options: as ``Engine.load`` takes them.

        Raises:
            EngineError, ValueError: the model cannot be loaded; the text is that of ``Engine.load``.
        """
        self.timeout = timeout
        self._control, self._pictures, self._masks = SharedArea(), SharedArea(), SharedArea()
        self._stop = self._control.array((1,), np.int64)  # calls up to this number are to stop
        self._numbers = itertools.count(1)
        self._freed: deque[int] = deque()
        self._turns = threading.Lock()
        hello = pickle.dumps((factory, model, options))
        self._keeper = Keeper(hello, (self._control, self._pictures, self._masks))
        weakref.finalize(self, self._keeper.kill)
        try:
            attributes = self._keeper.wait_ready(_never).attributes
        except BaseException:
            self.close()
            raise
        self.name: str = attributes["name"]
        self.device: str = attributes["device"]
        self.dtype: str = attributes["dtype"]
        self.min_target_probability: float = attributes["min_target_probability"]

    # ---- for diagnostics ----
    @property
    def state(self) -> str:
        """ "ready", "restarting", "failed: <why it could not be loaded again>" or "closed"."""
        return self._keeper.state

    @property
    def restarts(self) -> int:
        """How often the process was started again."""
        return self._keeper.restarts

    @property
    def pid(self) -> int | None:
        """The id of the engine's process; None while there is none that can be asked."""
        child = self._keeper.child
        return None if child is None else child.process.pid

    def memory(self) -> dict[str, int]:
        """What the engine's process holds, in bytes: "resident", and on a GPU "cuda_allocated" and "cuda_reserved" (as
        of the newest answer). Empty while there is no process. Waits for nothing.
        """
        child = self._keeper.child
        if child is None:
            return {}
        try:
            pages = int(Path(f"/proc/{child.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):  # it has just ended
            return {}
        return {"resident": pages * os.sysconf("SC_PAGE_SIZE"), **child.device_memory}

    # ---- the engine's interface ----
    def encode(self, image: np.ndarray, *, should_stop: Callable[[], bool] | None = None) -> IsolatedFrame:
        """Encode a picture, uint8 [H,W,3] RGB. Waits for a restart under way.

        Args:
            should_stop: asked while this waits for another call or a restart.

        Raises:
            ValueError: the array is no picture. Cancelled: ``should_stop`` returned True.
            EngineError: also EngineDied and EngineTimeout, see there.
        """
        if image.dtype.hasobject:  # references mean nothing in another process; the engine refuses all other types
            raise ValueError(f"image must be uint8 [H,W,3] RGB, got {image.dtype} {list(image.shape)}")
        should_stop = should_stop or _never
        with self._turn(should_stop):
            while True:
                child = self._keeper.wait_ready(should_stop)
                np.copyto(self._pictures.array(image.shape, image.dtype), image)
                frame = IsolatedFrame(next(self._numbers), child.generation, self._freed)
                if self._send(child, frame.number, "encode", (image.shape, image.dtype.str)):
                    break
                # it had ended while nobody asked: nothing is lost but time
            self._answer(child, frame.number, None, _never)
        return frame

    def ask(
        self,
        frame: IsolatedFrame,
        queries: Sequence[str],
        *,
        on_text: Callable[[int, str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        **options: Any,
    ) -> list[Segmentation]:
        """Answer queries about an encoded frame: ``Engine.ask`` tells what it takes. ``on_text`` and ``should_stop``
        are called here, in the calling thread.

        Raises:
            QueryError, ValueError, Cancelled: as Engine.ask raises them.
            EngineRestarted: the frame was encoded before a restart. EngineError: also EngineDied and EngineTimeout, see
                there.
        """
        should_stop = should_stop or _never
        with self._turn(should_stop):
            child = self._keeper.child
            if child is None or child.generation != frame.generation:
                raise EngineRestarted("the engine was restarted after this frame was encoded: encode it again")
            number = next(self._numbers)
            streams = on_text is not None
            arguments = (frame.number, list(queries), self.min_target_probability, streams, options)
            if not self._send(child, number, "ask", arguments):
                raise self._died(child)
            lent = self._answer(child, number, on_text, should_stop)
            return [
                # a copy: the next answer comes into the same memory
                dataclasses.replace(said, masks=self._masks.array(shape, bool, offset).copy())
                for said, shape, offset in lent
            ]

    def close(self) -> None:
        """End the process; a call under way ends with EngineError. Done after seconds, whatever the engine does."""
        begun = time.monotonic()
        child = self._keeper.child
        self._keeper.retire()  # a caller in `_answer` sees it and leaves
        self._stop[0] = _ALL_CALLS
        if self._turns.acquire(timeout=END_SECONDS):
            try:
                if child is not None:
                    child.connection.send(None)
            except OSError:
                pass  # it has ended already
            finally:
                self._turns.release()
        self._keeper.end(patience=max(0.0, begun + END_SECONDS - time.monotonic()))

    # ---- one call ----
    @contextmanager
    def _turn(self, should_stop: Callable[[], bool]) -> Iterator[None]:
        """The block has the engine to itself."""
        while not self._turns.acquire(timeout=POLL_SECONDS):
            if should_stop():
                raise Cancelled("the query was cancelled while it waited for another one")
        try:
            if self._keeper.closed:
                raise EngineError(CLOSED)
            yield
        finally:
            self._turns.release()

    def _send(self, child: Child, number: int, method: str, arguments: tuple) -> bool:
        """Hand a call over; False when the process has ended."""
        freed = list(self._freed)
        try:
            child.connection.send((number, freed, method, arguments))
        except OSError:
            self._keeper.give_up(child)
            return False
        for _ in freed:
            self._freed.popleft()
        return True

    def _answer(
        self, child: Child, number: int, on_text: Callable[[int, str], None] | None, should_stop: Callable[[], bool]
    ) -> Any:
        """Wait for a call's answer. Answers of earlier calls whose caller left are dropped."""
        try:
            heard = time.monotonic()
            while True:
                message = child.receive()
                if self._keeper.closed:
                    raise EngineError(CLOSED)
                if should_stop():
                    self._stop[0] = number  # and wait on, until the engine heeds it
                if message is None:
                    if 0 < self.timeout < time.monotonic() - heard:
                        raise self._hung(child)
                    continue
                of, kind, content = message
                if of == number and kind == "text":
                    on_text(*content)
                elif of == number and kind == "answer":
                    result, child.device_memory = content
                    return result
                elif kind == "error":
                    *packed, fatal = content
                    if fatal:
                        self._keeper.give_up(child)
                    if of == number:
                        raise unpack(*packed)
                heard = time.monotonic()
        except EOFError:
            raise self._died(child) from None
        except BaseException:
            self._stop[0] = number  # who leaves without an answer wants none
            raise

    def _died(self, child: Child) -> EngineError:
        if not child.ended.wait(END_SECONDS):  # only its pipe has ended
            self._keeper.give_up(child)
            child.ended.wait(END_SECONDS)
        self._keeper.give_up(child)
        if self._keeper.closed:
            return EngineError(CLOSED)
        return EngineDied(f"the engine's process {child.ending()}; it is being restarted")

    def _hung(self, child: Child) -> EngineTimeout:
        waited = self.timeout
        self._keeper.give_up(child)
        return EngineTimeout(
            f"the engine gave no sign of life for {waited:g} s (parameter engine_timeout); it is being restarted"
        )


def _never() -> bool:
    return False
