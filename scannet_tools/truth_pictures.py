"""ScanNet's pictures of what each pixel shows: `<scene>_2d-{label,instance}-filt.zip`, or the same unpacked."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

_DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)
"""What `zipfile` raises for archives with wrong bytes in them, or locked ones."""


class TruthPictures:
    """One kind of a scene's pictures, read one at a time. They are numbered as the frames of its `.sens`.

    kind: "label" (the label map's id) or "instance" (group of the aggregation file + 1); 0 = nothing in both. The
    archive is looked for before the folder. The pictures without `-filt` are not taken: in them labels leak onto what
    stands in front.
    """

    def __init__(self, folder: Path, scene: str, kind: str) -> None:
        self._member = f"{kind}-filt"
        self.archive = folder / f"{scene}_2d-{self._member}.zip"
        self._folders = (folder / self._member, folder / f"{scene}_2d-{self._member}" / self._member)

    def __len__(self) -> int:
        return len(self._names)

    def numbers(self) -> list[int]:
        """The frames that have a picture, ascending."""
        return sorted(self._names)

    def read(self, number: int) -> np.ndarray | None:
        """uint16 [H,W] of the picture's own size; None where there is none of this frame.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged, or no picture of ids; names the file.
        """
        name = self._names.get(number)
        if name is None:
            return None
        where = f"{self.archive}: {name}" if self._zip is not None else str(name)
        try:
            data = self._zip.read(name) if self._zip is not None else Path(name).read_bytes()
        except _DAMAGES as error:
            raise ValueError(f"{where}: damaged: {error}; download the archive again") from error
        except OSError as error:
            raise OSError(f"{where}: cannot be read: {error.strerror or error}") from error
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if picture is None:
            raise ValueError(f"{where}: damaged: not a PNG picture")
        if picture.ndim != 2 or picture.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"{where}: {picture.dtype} {list(picture.shape)}: a picture for looking at? ids have one channel of 8 "
                "or 16 bits"
            )
        return picture.astype(np.uint16)

    @cached_property
    def _zip(self) -> zipfile.ZipFile | None:
        if not self.archive.is_file():
            return None
        try:
            return zipfile.ZipFile(self.archive)
        except _DAMAGES as error:
            raise ValueError(f"{self.archive}: cut short, or not an archive: {error}; download it again") from error

    @cached_property
    def _names(self) -> dict[int, str]:
        """Frame -> name in the archive, or path."""
        if self._zip is not None:
            names = self._zip.namelist()
        else:
            names = [str(path) for folder in self._folders if folder.is_dir() for path in folder.iterdir()]
        pattern = re.compile(rf"(?:^|[/\\]){self._member}[/\\](\d+)\.png$")
        found = ((pattern.search(name), name) for name in names)
        return {int(match[1]): name for match, name in found if match}
