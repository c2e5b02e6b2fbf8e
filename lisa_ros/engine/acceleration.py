"""Opt-in speed for the engine's stages: torch.compile everywhere, and on CUDA one graph for every set of shapes.

Launching a 7B language model's small kernels one by one takes longer than running them, so a graph matters most for
single tokens. Stages therefore see few different shapes (``bucket``). A stage that cannot be compiled or captured says
so once and runs plainly from then on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from lisa_ros.model.config import first_line

BACKEND = "inductor"  # of torch.compile
KEPT_GRAPHS = 24  # a stage; each holds the memory of its intermediate results
RECOMPILATIONS = 64  # shapes of one stage that torch.compile may see before it gives up
Result = Tensor | tuple[Tensor, ...]
logger = logging.getLogger(__name__)


def bucket(length: int, step: int) -> int:
    """``length`` rounded up to a multiple of ``step``."""
    return -(-length // step) * step


class Stage:
    """A function from tensors to a tensor or a tuple of them, accelerated when wanted.

    Args:
        function: called with (inputs..., memory...). Writes into ``memory`` only, and writes the same when it is run
            again: it may be.
        enabled: False calls it plainly.
    """

    def __init__(self, name: str, function: Callable[..., Result], enabled: bool, device: torch.device) -> None:
        self._name, self._function, self._enabled, self._device = name, function, enabled, device
        self._compiled = (
            torch.compile(function, backend=BACKEND, dynamic=False, fullgraph=True) if enabled else function
        )
        self._graphs: OrderedDict[tuple, _Graph] = OrderedDict()

    def __call__(self, *inputs: Tensor, memory: tuple[Tensor, ...] = ()) -> Result:
        """Run on ``inputs`` (any tensors) and ``memory`` (tensors that stay at their place from call to call)."""
        if not self._enabled:
            return self._function(*inputs, *memory)
        try:
            return self._accelerated(inputs, memory)
        except Exception as error:  # compilers fail in many ways; none of them may cost an answer
            self._enabled = False
            self._graphs.clear()
            logger.warning(f"{self._name} runs without compilation: {type(error).__name__}: {first_line(error)}")
            return self._function(*inputs, *memory)

    def _accelerated(self, inputs: tuple[Tensor, ...], memory: tuple[Tensor, ...]) -> Result:
        if self._device.type != "cuda":
            return self._run_compiled(*inputs, *memory)
        key = tuple((x.shape, x.dtype) for x in inputs) + tuple((x.shape, x.data_ptr()) for x in memory)
        graph = self._graphs.get(key)
        if graph is None:
            while len(self._graphs) >= KEPT_GRAPHS:
                self._graphs.popitem(last=False)
            graph = self._graphs[key] = _Graph(self._run_compiled, inputs, memory)
        self._graphs.move_to_end(key)
        return graph(inputs)

    def _run_compiled(self, *tensors: Tensor) -> Result:
        with torch._dynamo.config.patch(recompile_limit=RECOMPILATIONS):
            return self._compiled(*tensors)


class _Graph:
    """One captured call: inputs are copied to where it reads them, the result is copied out."""

    def __init__(self, function: Callable[..., Result], inputs: tuple[Tensor, ...], memory: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(x.clone() for x in inputs)
        self._memory = memory  # kept alive: the graph writes to their addresses
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # compilation and library set-up must be over before the capture
            for _ in range(3):
                function(*self._inputs, *memory)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = function(*self._inputs, *memory)

    def __call__(self, inputs: tuple[Tensor, ...]) -> Result:
        for place, value in zip(self._inputs, inputs):
            place.copy_(value)
        self._graph.replay()
        if isinstance(self._result, Tensor):
            return self._result.clone()
        return tuple(x.clone() for x in self._result)
