"""What a process that reads examples for training does first: it is forked off the one that trains, and has a copy of all that was in it."""

from __future__ import annotations

import gc


def begin(_: int) -> None:
    """For ``worker_init_fn`` of a DataLoader. Garbage that came with the copy is never collected: it is the parent's, and what closes files, sockets
    or threads when it goes (a ROS node, say) ends a process that has none of these with a segmentation fault."""
    gc.freeze()
