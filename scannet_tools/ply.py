"""PLY files: any elements and properties, ascii and both binary orders. https://paulbourke.net/dataformats/ply"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_HEADER_LIMIT = 1 << 20
"""Bytes in which a header must end; a file without that line is not read to its end."""

Column = np.ndarray | list[np.ndarray]


@dataclass(frozen=True)
class _Property:
    """count: the type of a list's length; "" for a single number."""

    name: str
    type: str
    count: str = ""


@dataclass(frozen=True)
class _Element:
    name: str
    rows: int
    properties: list[_Property]


def read_ply(path: str | Path) -> dict[str, dict[str, Column]]:
    """Element name -> property name -> its column.

    A property of single numbers is an array [rows] of the type that the header gives, in this machine's byte order. A
    list is an array [rows,k] where every row has k entries, else a list of arrays. What follows the last element is
    left alone.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        ValueError: it is no PLY file, or ends too early; names the file.
    """
    path = Path(path)
    data = path.read_bytes()
    order, elements, start = _header(path, data)
    if order == "ascii":
        body = _Ascii(path, data[start:])
    else:
        body = _Binary(path, data, start, _ORDERS[order])
    return {element.name: body.element(element) for element in elements}


def _header(path: Path, data: bytes) -> tuple[str, list[_Element], int]:
    """The format's name, the elements, and where the body begins."""
    if data[:4] not in (b"ply\n", b"ply\r"):
        raise ValueError(f"{path}: not a PLY file: it does not begin with the line 'ply'")
    lines, start = [], 0
    while not lines or lines[-1] != "end_header":
        end = data.find(b"\n", start, _HEADER_LIMIT)
        if end < 0:
            raise ValueError(f"{path}: cut short in its header, or not a PLY file: there is no line 'end_header'")
        lines.append(data[start:end].decode("latin-1").strip())
        start = end + 1
    order, elements = "", []
    for line in lines[1:-1]:
        words = line.split()
        try:
            match words:
                case [] | ["comment" | "obj_info", *_]:
                    pass
                case ["format", name, _]:
                    _ORDERS[name]
                    order = name
                case ["element", name, rows] if int(rows) >= 0:
                    elements.append(_Element(name, int(rows), []))
                case ["property", "list", count, kind, name] if not _TYPES[count].startswith("f"):
                    elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[count]))
                case ["property", kind, name]:
                    elements[-1].properties.append(_Property(name, _TYPES[kind]))
                case _:
                    raise ValueError
        except (KeyError, ValueError, IndexError):
            raise ValueError(f"{path}: not a PLY header: the line '{line[:80]}' cannot be understood") from None
    if not order:
        raise ValueError(f"{path}: not a PLY header: the line 'format ...' is missing")
    for element in elements:
        if not element.properties:
            raise ValueError(f"{path}: not a PLY header: the element '{element.name}' has no properties")
        if len({item.name for item in element.properties}) != len(element.properties):
            raise ValueError(f"{path}: not a PLY header: the element '{element.name}' has a property twice")
    return order, elements, start


class _Binary:
    """The body of a binary file, read element by element."""

    def __init__(self, path: Path, data: bytes, start: int, order: str) -> None:
        self._path, self._data, self._at, self._order = path, data, start, order

    def element(self, element: _Element) -> dict[str, Column]:
        lengths = self._first_lengths(element) if element.rows else {}
        row = np.dtype(
            [field for item in element.properties for field in self._fields(item, lengths.get(item.name, 0))]
        )
        if self._at + element.rows * row.itemsize <= len(self._data):
            table = np.frombuffer(self._data, row, element.rows, self._at)
            if all((table[_count_of(name)] == length).all() for name, length in lengths.items()):
                self._at += element.rows * row.itemsize
                return {item.name: _native(table[item.name]) for item in element.properties}
        elif not lengths:
            self._cut_short(element, self._at + element.rows * row.itemsize)
        return self._rows(element)

    def _fields(self, item: _Property, length: int) -> list[tuple]:
        if not item.count:
            return [(item.name, self._order + item.type)]
        return [(_count_of(item.name), self._order + item.count), (item.name, self._order + item.type, (length,))]

    def _first_lengths(self, element: _Element) -> dict[str, int]:
        """How long the lists of the first row are. In most files all others are as long."""
        row = self._row(element, self._at)[0]
        return {item.name: len(row[item.name]) for item in element.properties if item.count}

    def _rows(self, element: _Element) -> dict[str, Column]:
        """Row by row, for lists of differing lengths."""
        columns: dict[str, list] = {item.name: [] for item in element.properties}
        for _ in range(element.rows):
            row, self._at = self._row(element, self._at)
            for name, value in row.items():
                columns[name].append(value)
        return {item.name: _list_or_array(columns[item.name], item) for item in element.properties}

    def _row(self, element: _Element, at: int) -> tuple[dict[str, np.ndarray], int]:
        """One row's values, and where the next one begins."""
        row = {}
        for item in element.properties:
            length = 1
            if item.count:
                counted, at = self._numbers(element, item.count, 1, at)
                length = int(counted[0])
                if length < 0:
                    raise ValueError(f"{self._path}: damaged: a list of '{element.name}' has the length {length}")
            numbers, at = self._numbers(element, item.type, length, at)
            row[item.name] = numbers if item.count else numbers[0]
        return row, at

    def _numbers(self, element: _Element, kind: str, count: int, at: int) -> tuple[np.ndarray, int]:
        dtype = np.dtype(self._order + kind)
        end = at + count * dtype.itemsize
        if end > len(self._data):
            self._cut_short(element, end)
        return _native(np.frombuffer(self._data, dtype, count, at)), end

    def _cut_short(self, element: _Element, needed: int) -> None:
        raise ValueError(
            f"{self._path}: cut short: it has {len(self._data)} bytes, its {element.rows} rows of '{element.name}' "
            f"need at least {needed}; download or write it again"
        )


class _Ascii:
    """The body of an ascii file. Rows are lines, but only the order of the numbers counts."""

    def __init__(self, path: Path, body: bytes) -> None:
        try:
            self._numbers = np.array(body.split(), dtype=np.float64)
        except ValueError as error:
            raise ValueError(f"{path}: damaged: not a number in its body: {error}") from None
        self._path, self._at = path, 0

    def element(self, element: _Element) -> dict[str, Column]:
        columns: dict[str, list] = {item.name: [] for item in element.properties}
        if not any(item.count for item in element.properties):
            width = len(element.properties)
            table = self._take(element, element.rows * width).reshape(element.rows, width)
            return {item.name: self._as(item, table[:, number]) for number, item in enumerate(element.properties)}
        for _ in range(element.rows):
            for item in element.properties:
                length = self._take(element, 1)[0] if item.count else 1
                if not (length >= 0 and length == np.floor(length)):
                    raise ValueError(f"{self._path}: damaged: a list of '{element.name}' has the length {length:g}")
                numbers = self._as(item, self._take(element, length))
                columns[item.name].append(numbers if item.count else numbers[0])
        return {item.name: _list_or_array(columns[item.name], item) for item in element.properties}

    def _as(self, item: _Property, numbers: np.ndarray) -> np.ndarray:
        if not item.type.startswith("f"):
            limits = np.iinfo(item.type)
            if len(numbers) and not (limits.min <= numbers.min() and numbers.max() <= limits.max):
                raise ValueError(f"{self._path}: damaged: a value of '{item.name}' does not fit its type")
        with np.errstate(over="ignore"):  # too large for its type: infinite
            return numbers.astype(item.type)

    def _take(self, element: _Element, count: float) -> np.ndarray:
        taken = self._numbers[self._at : self._at + int(min(count, len(self._numbers)))]
        if len(taken) != count:
            raise ValueError(
                f"{self._path}: cut short in its {element.rows} rows of '{element.name}'; download or write it again"
            )
        self._at += len(taken)
        return taken


def _count_of(name: str) -> str:
    """The field that holds the length of a list; no property can be called so."""
    return f"{name} count"


def _native(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("="))


def _list_or_array(values: list, item: _Property) -> Column:
    if not item.count:
        return np.array(values, item.type)
    if len({len(value) for value in values}) == 1:
        return np.stack(values)
    return values if values else np.zeros((0, 0), item.type)
