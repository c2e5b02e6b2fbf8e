"""Frame in, Segmentation out. The only door to a model."""

from __future__ import annotations

import importlib

from lisa_ros.engine.segmentation import Cancelled, QueryError, Segmentation

__all__ = [
    "EMBEDDED_MODEL",
    "Cancelled",
    "CheckpointError",
    "EncodedFrame",
    "Engine",
    "QueryError",
    "Segmentation",
    "resolve_model",
]

_LATE = {
    "EMBEDDED_MODEL": "lisa_ros.engine.models",
    "CheckpointError": "lisa_ros.model.config",
    "EncodedFrame": "lisa_ros.engine.engine",
    "Engine": "lisa_ros.engine.engine",
    "resolve_model": "lisa_ros.engine.models",
}


def __getattr__(name: str):  # these pull in torch (seconds): only who uses one pays
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
