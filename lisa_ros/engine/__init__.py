"""Frame in, Segmentation out. The only door to a model."""

from __future__ import annotations

from lisa_ros.engine.models import EMBEDDED_MODEL, resolve_model
from lisa_ros.engine.segmentation import Cancelled, QueryError, Segmentation
from lisa_ros.model.config import CheckpointError

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


def __getattr__(name: str):  # Engine pulls in torch (seconds): only who uses it pays
    if name in ("Engine", "EncodedFrame"):
        from lisa_ros.engine import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
