"""What an isolated engine raises, and how an exception crosses from its process to the caller's.

Only kind and text cross: an exception of torch or CUDA cannot be unpickled by a process that has no torch.
"""

from __future__ import annotations

from lisa_ros.engine.segmentation import Cancelled, QueryError


class EngineError(RuntimeError):
    """The engine could not be loaded, or raised something while it worked: "<type>: <text>" of what it raised."""


class EngineDied(EngineError):
    """The engine's process ended during a call. It is being started again."""


class EngineTimeout(EngineError):
    """The engine gave no sign of life for too long. Its process was ended and is being started again."""


class EngineRestarted(EngineError):
    """The frame was encoded by a process that is no more: encode the picture again."""


_SAME = (Cancelled, QueryError, ValueError)  # what Engine's own interface promises; the narrowest first
_KINDS = {kind.__name__: kind for kind in (*_SAME, EngineError)}


def pack(error: Exception) -> tuple[str, str]:
    """What a call raised, as (kind, text). Anything that the engine does not promise becomes an EngineError."""
    for kind in _SAME:
        if isinstance(error, kind):
            return kind.__name__, str(error)
    return EngineError.__name__, f"{type(error).__name__}: {error}"


def pack_load(error: Exception) -> tuple[str, str]:
    """What loading raised, as (kind, text): the text is meant for a person and stays as it is."""
    kind = ValueError if isinstance(error, ValueError) else EngineError
    return kind.__name__, str(error) or type(error).__name__


def unpack(kind: str, text: str) -> Exception:
    """The exception of ``pack`` or ``pack_load``, to be raised."""
    return _KINDS[kind](text)


def is_fatal(error: Exception) -> bool:
    """Whether a process should not go on after this: the device is lost until the process ends, or memory has run out
    and what is still held is unknown.
    """
    name, text = type(error).__name__, str(error)
    return (
        isinstance(error, MemoryError)
        or name in ("AcceleratorError", "OutOfMemoryError")
        or any(words in text for words in ("CUDA error", "cuDNN error", "out of memory"))
    )
