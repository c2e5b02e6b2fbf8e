"""8-bit and 4-bit weights for the language model's linear layers, so that a 13B LISA fits a 12 GB card.

    quantize_layer(lisa.model.layers[0], bits=4)     # in place, on the device where the layer's weights are
    quantized_bytes(4096, 11008, bits=4)             # what a matrix of that shape takes then

Only the weights shrink; activations, lm_head, embeddings, projector, text_hidden_fcs, CLIP and SAM keep their dtype
(the reference, which also squeezes lm_head and the heads of the mask, loses accuracy there for little memory).

- 8 bits: whole numbers -127..127 times one float32 scale for every 128 (else 64) neighbouring weights of a row. A
  weight is put back to the activations' dtype before it is multiplied, so float16 cannot overflow inside a product of
  unscaled numbers.
- 4 bits: NF4 in groups of 64 with 8-bit scales ("double quantisation", Dettmers et al., 2023): the format of the
  reference's 4-bit mode.

Both are the same on every device and for float32, bfloat16 and float16. The library is bitsandbytes, imported only when
it is asked for: one 4-bit format with kernels for CUDA and CPU, torch operators with meta kernels (torch.compile, CUDA
graphs). torchao, the other candidate (0.18, tried with torch 2.13), has a 4-bit kernel for bfloat16 on Ampere and newer
only, elsewhere a torch fallback that took 7 times longer here; its 8-bit product overflows in float16
(pytorch/ao#1662). What bitsandbytes has against it: 43 MB of binaries for CUDA 11.8 to 13.2.
"""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.config import CheckpointError, first_line

QUANTIZED_LINEARS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
"""The linear layers of one decoder layer that get small weights."""
NF4_GROUP, NF4_SCALES_GROUP = 64, 256


def quantize_layer(layer: nn.Module, bits: int) -> None:
    """Give the linear layers of one decoder layer 8-bit or 4-bit weights, in place.

    Args:
        layer: a decoder layer with its weights on the device where they shall stay (float32, bfloat16 or float16).
        bits: 8 or 4.

    Raises:
        ValueError: bits is neither 8 nor 4.
        CheckpointError: bitsandbytes is not installed or does not work on that device.
    """
    if bits not in (4, 8):
        raise ValueError(f"weights can have 8 or 4 bits, not {bits}")
    for name in QUANTIZED_LINEARS:
        linear = layer.get_submodule(name)
        require_quantization(linear.weight.device)
        small = Linear8bit(linear) if bits == 8 else Linear4bit(linear)
        parent, _, leaf = name.rpartition(".")
        setattr(layer.get_submodule(parent), leaf, small.train(linear.training))


def quantized_bytes(in_features: int, out_features: int, bits: int) -> int:
    """Bytes of one quantised matrix with its scales. The number format's table (1 kB a model) is apart."""
    values = in_features * out_features
    if bits == 8:
        return values + 4 * -(-values // group_of_8bit(in_features))
    groups = -(-values // NF4_GROUP)
    return -(-values // 2) + groups + 4 * -(-groups // NF4_SCALES_GROUP) + 4


def group_of_8bit(in_features: int) -> int:
    """How many neighbouring weights share a scale. Rows that 64 does not divide share groups across their borders."""
    return 128 if in_features % 128 == 0 else 64


class QuantizedLinear(nn.Module):
    """What both kinds share: y = x W^T + b with W [out_features,in_features] put back from small numbers.

    Attributes:
        dtype: of the weights before they were quantised; ``weight`` gives them back in it.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.dtype = linear.weight.dtype
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    @property
    def weight(self) -> Tensor:
        """The weights as they are used, [out_features,in_features] in ``dtype``: a copy made for every look."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Linear8bit(QuantizedLinear):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self._group = group_of_8bit(self.in_features)
        weight, table = linear.weight.detach().contiguous(), number_table("linear", linear.weight.device)
        codes, state = library().quantize_blockwise(weight, code=table, blocksize=self._group)
        self.register_buffer("codes", codes)  # uint8 [out,in], places in the table
        self.register_buffer("scales", state.absmax)  # float32 [values / group]
        self.register_buffer("table", table)

    @property
    def weight(self) -> Tensor:
        return self._restored(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self._restored(x.dtype), self.bias)

    def _restored(self, dtype: torch.dtype) -> Tensor:
        return torch.ops.bitsandbytes.dequantize_blockwise(self.codes, self.scales, self.table, self._group, dtype)


class Linear4bit(QuantizedLinear):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        weight = linear.weight.detach().contiguous()
        packed, state = library().quantize_4bit(weight, blocksize=NF4_GROUP, compress_statistics=True, quant_type="nf4")
        self.register_buffer("packed", packed)  # uint8 [values / 2, 1], two weights a byte
        self.register_buffer("scales", state.absmax)  # uint8 [groups], places in the table of scales
        self.register_buffer("scales_offset", state.offset)  # float32 []
        self.register_buffer("scales_of_scales", state.state2.absmax)  # float32 [groups / 256]
        self.register_buffer("scales_table", number_table("dynamic", weight.device))

    @property
    def weight(self) -> Tensor:
        absmax = torch.ops.bitsandbytes.dequantize_blockwise(
            self.scales, self.scales_of_scales, self.scales_table, NF4_SCALES_GROUP, torch.float32
        )
        return torch.ops.bitsandbytes.dequantize_4bit(
            self.packed,
            absmax + self.scales_offset,
            NF4_GROUP,
            "nf4",
            [self.out_features, self.in_features],
            self.dtype,
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.bitsandbytes.gemm_4bit(
            x,
            self.packed,
            [self.out_features, self.in_features],
            self.scales_of_scales,
            NF4_GROUP,
            "nf4",
            self.bias,
            absmax_8bit=self.scales,
            absmax_code=self.scales_table,
            absmax_offset=self.scales_offset,
        )


@functools.cache
def require_quantization(device: torch.device) -> None:
    """Raises CheckpointError when weights cannot be quantised on a device: no bitsandbytes, or no kernels in it."""
    library()
    try:
        with quiet():  # it logs a page about CUDA versions; the sentence below says what matters
            linear = nn.Linear(64, 64, bias=False, device="meta")  # no random numbers are drawn for it
            linear.weight = nn.Parameter(torch.ones(64, 64, device=device), requires_grad=False)
            for kind in (Linear8bit, Linear4bit):
                kind(linear)(torch.ones(1, 64, device=device))
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        raise CheckpointError(
            f"8-bit and 4-bit weights do not work on {device}: bitsandbytes {installed_version()} has no kernels for "
            f"torch {torch.__version__} there ({first_line(error)}); update bitsandbytes, or load without quantization"
        ) from error


@functools.cache
def library() -> ModuleType:
    """bitsandbytes.functional. Raises CheckpointError when it is not installed or cannot be imported."""
    with quiet(), no_hub_kernels():
        try:
            import bitsandbytes.functional as functional
        except Exception as error:  # a broken installation fails in many ways: missing, wrong torch, unloadable binary
            problem = f"cannot be imported ({type(error).__name__}: {first_line(error)})"
            if isinstance(error, ModuleNotFoundError) and error.name == "bitsandbytes":
                problem = "is not installed"
            raise CheckpointError(
                f"8-bit and 4-bit weights need bitsandbytes, which {problem}: pip install -U bitsandbytes, "
                "or load without quantization"
            ) from error
    return functional


@contextmanager
def quiet() -> Iterator[None]:
    """Keep bitsandbytes' advice about its binaries off the terminal."""
    logger = logging.getLogger("bitsandbytes")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def no_hub_kernels() -> Iterator[None]:
    """Hide the package ``kernels``: with it bitsandbytes, imported on an AVX512-BF16 CPU, would fetch a kernel from the
    hub and run it. Nothing comes from the network that the user did not ask for."""
    hidden = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # what makes an import fail
    try:
        yield
    finally:
        if hidden is None:
            del sys.modules["kernels"]
        else:
            sys.modules["kernels"] = hidden


def installed_version() -> str:
    return getattr(sys.modules.get("bitsandbytes"), "__version__", "?")


@functools.cache
def number_table(kind: str, device: torch.device) -> Tensor:
    """Values [256] that 8-bit codes stand for, one tensor a device: "linear" for weights, "dynamic" for scales."""
    functional = library()
    table = functional.create_linear_map(signed=True) if kind == "linear" else functional.create_dynamic_map()
    return table.to(device)
