"""Weight files: which ones a directory holds, what is in them, and their tensors one at a time.

Safetensors and PyTorch's own files (``.bin``, ``.pth``) are both mapped into memory. A tensor's pages are given back
once its reader has copied it, so that reading a file of any size holds one tensor. PyTorch's files are pickles: they
are read with ``weights_only``, which builds tensors and refuses everything else; nothing in a file is ever run.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lisa_ros.model.config import CheckpointError, first_line, read_config_json

SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Type names of the safetensors format that a LISA may use."""


@dataclass(frozen=True)
class TensorHeader:
    """Name, type, shape and file of one stored tensor."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    file: Path

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.size * self.dtype.itemsize


def weight_files(directory: Path) -> list[Path]:
    """The weight files of a checkpoint directory, safetensors before PyTorch's.

    Raises:
        CheckpointError: there are none, or one that the index lists is missing.
    """
    return _find_weights(directory)[0]


def directory_headers(directory: Path) -> list[TensorHeader]:
    """Headers of all tensors of a checkpoint directory; no tensor is read.

    Raises:
        CheckpointError: there are no weights, a file is missing or damaged, or the index lists tensors that its file
            does not hold.
    """
    files, index = _find_weights(directory)
    headers = [header for file in files for header in read_headers(file)]
    held = {(header.name, header.file.name) for header in headers}
    absent = sorted(f"{name} ({file})" for name, file in index.items() if (name, file) not in held)
    if absent:
        shown = ", ".join(absent[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else "")
        raise CheckpointError(
            f"{directory}: the index lists tensors that their shard does not hold: {shown}; "
            "the files do not belong together, download all of them again"
        )
    return headers


def read_headers(file: Path) -> list[TensorHeader]:
    """Headers of one weight file; no tensor is read.

    Raises:
        CheckpointError: the file is damaged, or a pickle that holds more than tensors (it is refused, nothing in it
            runs).
    """
    with _readable(file):
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as stored:
                headers = []
                for name in stored.keys():
                    entry = stored.get_slice(name)
                    if entry.get_dtype() not in SAFETENSORS_DTYPES:
                        raise CheckpointError(
                            f"{file}: {name} has type {entry.get_dtype()}, which no LISA uses; "
                            "convert it to BF16 or F32"
                        )
                    headers.append(
                        TensorHeader(name, SAFETENSORS_DTYPES[entry.get_dtype()], tuple(entry.get_shape()), file)
                    )
                return headers
        tensors = _unpickle(file, device="meta")
        return [TensorHeader(name, tensor.dtype, tuple(tensor.shape), file) for name, tensor in tensors.items()]


def read_tensors(file: Path, names: Iterable[str] | None = None) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of one weight file. A tensor is for copying: it is gone once the next one is asked for.

    Args:
        names: which ones; None for all.

    Raises:
        CheckpointError: as ``read_headers``.
    """
    with _readable(file):
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys() if names is None else names:
                    tensor = stored.get_tensor(name)
                    yield name, tensor
                    _give_back(tensor)
        else:
            mapped = _is_zip(file)
            tensors = _unpickle(file, device="cpu")
            for name in list(tensors) if names is None else names:
                tensor = tensors.pop(name)  # what is not mapped is freed here, one by one
                yield name, tensor
                if mapped:
                    _give_back(tensor)


def refuse_lfs_pointer(file: Path) -> None:
    """Raises CheckpointError when a file is what ``git clone`` leaves in place of a large file."""
    with Path(file).open("rb") as stream:
        if stream.read(24).startswith(b"version https://git-lfs"):
            raise CheckpointError(
                f"{file} is a Git LFS pointer, not the file itself: run 'git lfs install && git lfs pull' in "
                f"{Path(file).parent}, or download the checkpoint from the hub"
            )


def _find_weights(directory: Path) -> tuple[list[Path], dict[str, str]]:
    """Files, and the index's tensor name -> file name (empty when there is no index)."""
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        index = directory / f"{stem}{suffix}.index.json"
        single = directory / f"{stem}{suffix}"
        if index.is_file():
            weight_map = read_config_json(index).get("weight_map")
            if not isinstance(weight_map, dict) or not weight_map or not all(map(_is_plain_name, weight_map.values())):
                raise CheckpointError(
                    f"{index}: its weight_map does not name files of this directory; download it again"
                )
            names = sorted(set(weight_map.values()))
            absent = [name for name in names if not (directory / name).is_file()]
            if absent:
                raise CheckpointError(
                    f"{directory}: {index.name} lists {', '.join(absent)}, which is not there; download it again"
                )
            return [directory / name for name in names], weight_map
        if single.is_file():
            return [single], {}
    raise CheckpointError(f"{directory}: no model.safetensors and no pytorch_model.bin (nor an index of shards)")


def _is_plain_name(name: object) -> bool:
    """Whether an index's entry is a weight file of its own directory (and no path to somewhere else)."""
    return isinstance(name, str) and Path(name).name == name and Path(name).suffix in (".safetensors", ".bin")


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turns what reading a damaged or hostile file raises into a CheckpointError with a sentence of ours."""
    try:
        refuse_lfs_pointer(file)
        yield
    except CheckpointError:
        raise
    except UnpicklingError as error:
        # torch's own text recommends weights_only=False: it must not reach a user
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {wanted[1]}" if wanted else "it is not a plain file of tensors"
        raise CheckpointError(
            f"{file}: refused, {reason}, and nothing but tensors is read from a pickle; get the file elsewhere"
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{file}: cannot be read ({first_line(error)}); download or convert it again") from error
    except Exception as error:  # what else a hostile file may raise while it is being refused
        raise CheckpointError(f"{file}: refused, it is not a plain file of tensors ({first_line(error)})") from error


def _unpickle(file: Path, device: str) -> dict[str, Tensor]:
    """The tensors of a PyTorch file, through the unpickler that builds nothing else.

    Files of before PyTorch 1.6 cannot be mapped: they are read as a whole.
    """
    tensors = torch.load(file, map_location=device, weights_only=True, mmap=_is_zip(file))
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{file}: refused, it holds a {type(tensors).__name__}, not tensors by name")
    odd = [str(name) for name, value in tensors.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(f"{file}: refused, these entries are no tensors: {', '.join(odd[:8])}")
    return dict(tensors)


def _is_zip(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _give_back(tensor: Tensor) -> None:
    """Take a mapped tensor's pages out of this process. They are the file's, so another look at them reads them again.

    Only whole pages inside the tensor, so even memory that is not mapped, if a library returned such, loses nothing
    that is still read.
    """
    if sys.platform != "linux" or not tensor.is_contiguous():
        return
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:
        _libc().madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
