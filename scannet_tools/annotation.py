"""Which vertex of a scan's mesh belongs to which annotated object.

ScanNet cuts the mesh into small segments (`<scene>_vh_clean_2.0.010000.segs.json`: a segment number per vertex), and
people put segments together to objects (`<scene>.aggregation.json`: a list of segments and a name per object). The mesh
of full resolution has a pair of its own, `<scene>_vh_clean.segs.json` and `<scene>_vh_clean.aggregation.json`; mixing
the two up gives nonsense without an error, so here it is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_LARGEST_ID = 0xFFFF
_FOUND_SHARE = 0.5
"""At least so many of an aggregation file's segments must be in the segs file. A right pair lacks a few."""


@dataclass(frozen=True)
class AnnotatedObject:
    """id: from 1, ScanNet's objectId + 1. label: its raw category, as in the label map's column; "" = unnamed."""

    id: int
    label: str


@dataclass(frozen=True, eq=False)
class Annotation:
    """vertex_objects: uint16 [n], the id of the object that each vertex belongs to, 0 = none. objects: those with
    vertices, by id.

    picture_objects: value in an instance picture -> object id. The pictures count the file's groups (its `id` + 1), and
    a file that lists its objects twice has two values for one object.
    """

    vertex_objects: np.ndarray
    objects: tuple[AnnotatedObject, ...]
    picture_objects: Mapping[int, int] = field(default_factory=dict)

    def vertices_of(self, ids: Iterable[int]) -> np.ndarray:
        """bool [n]: the vertices of these objects; ids that there are not have none."""
        wanted = np.zeros(_LARGEST_ID + 1, bool)
        wanted[[number for number in ids if 0 < number <= _LARGEST_ID]] = True
        return wanted[self.vertex_objects]

    def vertex_classes(self, class_of: Callable[[str], int]) -> np.ndarray:
        """uint16 [n]: a class per vertex, 0 = no object. class_of: raw category -> class, e.g. `LabelMap.nyu40`."""
        return self.object_classes(class_of)[self.vertex_objects]

    def object_classes(self, class_of: Callable[[str], int]) -> np.ndarray:
        """uint16 [65536]: the class of each object id, 0 for ids that there are not; for indexing with id pictures."""
        classes = np.zeros(_LARGEST_ID + 1, np.uint16)
        for item in self.objects:
            classes[item.id] = class_of(item.label)
        return classes


def read_annotation(aggregation: str | Path, segs: str | Path, vertex_count: int | None = None) -> Annotation:
    """Put the two files together. Where objects share a segment, the later one has it, as in ScanNet's own scripts.

    vertex_count: of the mesh that the annotation is for; checked where given.

    Raises:
        FileNotFoundError, OSError: a file cannot be read.
        ValueError: a file is damaged, or they do not belong together or to the mesh; names the file.
    """
    aggregation, segs = Path(aggregation), Path(segs)
    listed = _json_object(aggregation)
    _check_pair(aggregation, listed, segs)
    segments = _segments(segs, vertex_count)
    groups, pictures = _groups(aggregation, listed)
    numbers, of_vertex = np.unique(segments, return_inverse=True)
    object_of_segment = np.zeros(len(numbers), np.uint16)
    listed_count = found_count = 0
    for group in groups:
        place = np.minimum(np.searchsorted(numbers, group.segments), len(numbers) - 1)
        there = numbers[place] == group.segments
        object_of_segment[place[there]] = group.id
        listed_count += len(there)
        found_count += int(np.count_nonzero(there))
    if found_count < _FOUND_SHARE * listed_count:
        raise ValueError(
            f"{aggregation}: of the {listed_count} segments of its objects only {found_count} are in {segs.name}: it "
            "belongs to another mesh (the one of full resolution?) or scene; take <scene>.aggregation.json"
        )
    vertex_objects = object_of_segment[of_vertex.reshape(-1)]
    present = np.zeros(_LARGEST_ID + 1, bool)
    present[vertex_objects] = True
    labels = {group.id: group.label for group in groups if present[group.id]}
    return Annotation(
        vertex_objects,
        tuple(AnnotatedObject(number, labels[number]) for number in sorted(labels)),
        {value: number for value, number in pictures.items() if number in labels},
    )


@dataclass(frozen=True)
class _Group:
    id: int
    label: str
    segments: np.ndarray


def _groups(path: Path, listed: dict[str, Any]) -> tuple[list[_Group], dict[int, int]]:
    """The file's objects, each once, and value in the instance pictures -> object id."""
    entries = listed.get("segGroups")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: no list 'segGroups' in it: not an aggregation file")
    numbers = _object_numbers(path, entries)
    groups, pictures, seen = [], {}, {}
    for place, (entry, number) in enumerate(zip(entries, numbers)):
        segments = entry.get("segments")
        if not isinstance(segments, list):
            raise ValueError(f"{path}: object {number}: its 'segments' are no list")
        members = frozenset(_whole(path, "segments", value) for value in segments if value is not None)
        if members and members in seen:  # scene0217_00 lists all its objects a second time
            number = seen[members]
        else:
            seen[members] = number
            groups.append(_Group(number, str(entry.get("label") or ""), np.array(sorted(members), np.int64)))
        group_id = _whole(path, "id", entry.get("id"))
        pictures.setdefault((place if group_id is None else group_id) + 1, number)
    return groups, pictures


def _object_numbers(path: Path, entries: list[dict[str, Any]]) -> list[int]:
    """objectId + 1 of each group. One without it has its `id` + 1; one without either the next number that is free."""
    given = [_whole(path, "objectId", entry.get("objectId")) for entry in entries]
    given = [_whole(path, "id", entry.get("id")) if value is None else value for value, entry in zip(given, entries)]
    free = max((value for value in given if value is not None), default=-1) + 1
    numbers = []
    for value in given:
        if value is None:
            value, free = free, free + 1
        if not 0 <= value < _LARGEST_ID:
            raise ValueError(f"{path}: objectId {value}: it must be from 0 to {_LARGEST_ID - 1}")
        numbers.append(value + 1)
    return numbers


def _whole(path: Path, name: str, value: Any) -> int | None:
    """A number that the file may hold as a number, as text, or as null."""
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or (isinstance(value, float) and value != number):
        raise ValueError(f"{path}: {name} {value!r} is no whole number")
    return number


def _segments(path: Path, vertex_count: int | None) -> np.ndarray:
    """int64 [n], the segment of each vertex."""
    values = _json_object(path).get("segIndices")
    if not isinstance(values, list) or not values:
        raise ValueError(f"{path}: no list 'segIndices' in it: not a segs file")
    try:
        segments = np.array(values)
        if segments.ndim != 1 or segments.dtype.kind not in "iuU":
            raise ValueError
        segments = segments.astype(np.int64)
    except ValueError:
        raise ValueError(f"{path}: its 'segIndices' are not all whole numbers") from None
    if vertex_count is not None and len(segments) != vertex_count:
        raise ValueError(
            f"{path}: segments of {len(segments)} vertices, and the mesh has {vertex_count}: it belongs to another "
            "mesh; the one of <scene>_vh_clean_2.ply is <scene>_vh_clean_2.0.010000.segs.json"
        )
    return segments


def _check_pair(aggregation: Path, listed: dict[str, Any], segs: Path) -> None:
    """Whether the segs file that an aggregation file says it was made for is this one."""
    made_for = str(listed.get("segmentsFile") or "")
    if made_for and _mesh_name(made_for) != _mesh_name(segs.name):
        raise ValueError(
            f"{aggregation}: made for {made_for}, not for {segs.name}: it belongs to another mesh or scene. "
            "<scene>.aggregation.json is for <scene>_vh_clean_2.ply, and <scene>_vh_clean.aggregation.json for "
            "<scene>_vh_clean.ply, the mesh of full resolution"
        )


def _mesh_name(segs: str) -> str:
    """scene0000_00_vh_clean_2 of "scannet.scene0000_00_vh_clean_2.0.010000.segs.json"."""
    name = re.sub(r"^scannet\.", "", re.split(r"[/\\]", segs)[-1])
    return re.sub(r"(\.\d+\.\d+)?\.segs\.json$", "", name)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path}: not JSON, or cut short: {error}; download or write it again") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values
