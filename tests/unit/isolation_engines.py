"""Engines that misbehave on command, for tests of the engine's own process, which imports this module by name."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from fakes import ColorEngine

from lisa_ros.engine.segmentation import Cancelled


class AcceleratorError(RuntimeError):
    """As torch names what a GPU throws."""


class OutOfMemoryError(RuntimeError):
    """As torch names a full GPU."""


class ObedientEngine(ColorEngine):
    """Finds colours as ColorEngine does, and does what words in the query say first.

    notes: a folder where it leaves a file when a query has begun, so that a test can act in the middle of it.
    """

    def __init__(self, notes: str = "") -> None:
        super().__init__()
        self.notes = notes

    def note(self, name: str, text: str = "") -> None:
        if self.notes:
            part = Path(self.notes) / f".{name}"
            part.write_text(text)
            part.rename(Path(self.notes) / name)

    def encode(self, image):
        if image.shape == (1, 1, 3):
            os._exit(4)
        return super().encode(image)

    def close(self):
        self.note("closed")

    def ask(self, encoded, queries, *, on_text=None, should_stop=None, **options):
        text = " ".join(queries)
        self.note("begun", text)
        if "hang" in text:  # heeds nothing
            threading.Event().wait()
        if "exit" in text:
            os._exit(3)
        if "segfault" in text:
            faulthandler.disable()  # the test's log needs no trace of it
            ctypes.string_at(0)
        if "kill" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "cuda error" in text:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if "accelerator" in text:
            raise AcceleratorError("device-side assert triggered")
        if "allocate" in text:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if "memory" in text:
            raise MemoryError("no room for 8 GiB")
        if "mistake" in text:
            raise KeyError("layer_7")
        if "refuse" in text:
            raise ValueError("mode must be known")
        if "slowly" in text:
            for number in range(8):
                time.sleep(0.1)
                on_text(0, f"word {number}")
        if "until cancelled" in text:
            while not should_stop():
                time.sleep(0.002)
            raise Cancelled("stopped as told")
        if "stubborn" in text:  # ends by itself, but only when the test says so
            while not (Path(self.notes) / "go on").exists():
                time.sleep(0.002)
        return super().ask(encoded, queries, on_text=on_text, **options)


class ModulesEngine(ObedientEngine):
    """Answers with what its process has imported."""

    def ask(self, encoded, queries, **options):
        (said,) = super().ask(encoded, queries, **options)
        said.answer = repr(sorted(name for name in ("torch", "rclpy") if name in sys.modules))
        return [said]


class CountingEngine(ObedientEngine):
    """Answers with the number of encoded frames that it still holds."""

    alive = 0

    def encode(self, image):
        return _Counted(image)

    def ask(self, encoded, queries, **options):
        (said,) = super().ask(encoded.image, queries, **options)
        said.answer = str(CountingEngine.alive)
        return [said]


class _Counted:  # counts those alive
    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        CountingEngine.alive += 1

    def __del__(self) -> None:
        CountingEngine.alive -= 1


def load(model, *, notes="", kind="ObedientEngine"):
    """A factory. A path as the model must exist, as a checkpoint must; some names cannot be loaded. It takes as long as
    there is a file "hold" among the notes.
    """
    while notes and (Path(notes) / "hold").exists():
        time.sleep(0.005)
    if model.startswith(os.sep) and not Path(model).exists():
        raise FileNotFoundError(f"{model}: no such directory; give 'lisa-mini' or a checkpoint directory")
    if model == "bad option":
        raise ValueError('dtype "int3" is not known')
    if model == "dies":
        os._exit(7)
    return globals()[kind](notes)
