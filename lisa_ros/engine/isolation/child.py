"""The process of an isolated engine: load, then answer one call after the other until the parent closes or is gone.

Messages over the private pipe, pickled. That is no open door: the pipe has no name, its two ends belong to a process
and the child it started from the same code as the same user, and who can write into either can do worse already.

    parent -> child   (factory, model, options), once; (number, freed frames, method, arguments) per call; None = end
    child -> parent   (0, "loaded", attributes), once; per call any number of (number, "text", (index, text)), then
                      (number, "answer", (result, memory)) or (number, "error", (kind, text, fatal))
"""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from lisa_ros.engine.isolation.errors import EngineError, is_fatal, pack, pack_load
from lisa_ros.engine.isolation.shared import SharedArea
from lisa_ros.engine.segmentation import Segmentation

ATTRIBUTES = ("name", "device", "dtype", "min_target_probability")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def load_engine(model: str, **options: Any) -> Any:
    """The real engine. Imports torch, so only the child calls this."""
    from lisa_ros.engine import Engine

    return Engine.load(model, **options)


def main(parent: int, pipe: int, *areas: int) -> None:
    """Run as the child of process ``parent``; the rest are file descriptors: the pipe, and the shared areas of the stop
    number, the pictures and the masks.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before Linux knew that we want to go with it
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to decide about
    faulthandler.enable()  # a crash in native code says where
    connection = Connection(pipe)
    try:
        engine = _load(connection)
        if engine is not None:
            _serve(engine, connection, *map(SharedArea, areas))
    except (EOFError, OSError):
        pass  # the parent is gone, or has given this process up: nobody is left to tell


def _load(connection: Connection) -> Any | None:
    hello = connection.recv_bytes()
    try:
        factory, model, options = pickle.loads(hello)
        engine = factory(model, **options)
        attributes = {name: getattr(engine, name) for name in ATTRIBUTES}
    except Exception as error:  # noqa: BLE001 - whatever it is, who asked for the engine must hear it
        connection.send((0, "error", pack_load(error)))
        return None
    connection.send((0, "loaded", attributes))
    return engine


def _serve(engine: Any, connection: Connection, control: SharedArea, pictures: SharedArea, masks: SharedArea) -> None:
    stop = control.array((1,), np.int64)  # calls up to this number are not wanted any more
    frames: dict[int, Any] = {}
    while (call := connection.recv()) is not None:
        number, freed, method, arguments = call
        for frame in freed:  # first, so that the next frame finds the memory
            frames.pop(frame, None)
        try:
            if method == "encode":
                shape, dtype = arguments
                # a copy: the next picture comes into the same memory, and an engine may keep this one
                frames[number] = engine.encode(pictures.array(shape, dtype).copy())
                result = None
            else:
                frame, queries, min_target_probability, streams, options = arguments
                engine.min_target_probability = min_target_probability
                segmentations = engine.ask(
                    frames[frame],
                    queries,
                    on_text=_sender(connection, number) if streams else None,
                    should_stop=lambda number=number: bool(stop[0] >= number),
                    **options,
                )
                result = _lend(segmentations, masks)
            connection.send((number, "answer", (result, _device_memory(engine))))
        except Exception as error:  # noqa: BLE001 - whatever a model or a driver throws goes to who asked
            kind, text = pack(error)
            if kind == EngineError.__name__:
                traceback.print_exc()  # where it happened crosses no process boundary
            connection.send((number, "error", (kind, text, is_fatal(error))))
    if callable(getattr(engine, "close", None)):
        engine.close()


def _sender(connection: Connection, number: int) -> Callable[[int, str], None]:
    return lambda index, text: connection.send((number, "text", (index, text)))


def _lend(segmentations: Sequence[Segmentation], area: SharedArea) -> list[tuple[Segmentation, tuple[int, ...], int]]:
    """Put the masks into the area: (the rest, masks' shape, masks' offset in the area) for each."""
    lent, offset = [], 0
    for segmentation in segmentations:
        masks = segmentation.masks
        area.array(masks.shape, bool, offset)[...] = masks
        lent.append((dataclasses.replace(segmentation, masks=None), masks.shape, offset))
        offset += masks.size
    return lent


def _device_memory(engine: Any) -> dict[str, int]:
    """Bytes of the engine's GPU that this process holds; empty on other devices."""
    torch = sys.modules.get("torch")
    if torch is None or not engine.device.startswith("cuda"):
        return {}
    return {
        "cuda_allocated": torch.cuda.memory_allocated(engine.device),
        "cuda_reserved": torch.cuda.memory_reserved(engine.device),
    }
