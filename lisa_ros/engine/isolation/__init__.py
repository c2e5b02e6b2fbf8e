"""The engine in a process of its own: what kills it does not kill who asks. No torch on this side. Linux only.

    isolated.py   IsolatedEngine: the engine's interface, every call numbered and sent to the process
    keeper.py     starts the process, notices its end, starts it again
    child.py      the process itself: load, then answer one call after the other
    shared.py     pictures and masks in memory that both see
    errors.py     what can go wrong, and how an exception crosses over
"""

from lisa_ros.engine.isolation.errors import EngineDied, EngineError, EngineRestarted, EngineTimeout
from lisa_ros.engine.isolation.isolated import IsolatedEngine

__all__ = ["EngineDied", "EngineError", "EngineRestarted", "EngineTimeout", "IsolatedEngine"]
