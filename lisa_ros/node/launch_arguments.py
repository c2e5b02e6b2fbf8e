"""What the launch files in launch/ share: arguments as values, camera presets, misspelt names. Imports neither ROS nor
launch, so it costs a launch file nothing and can be tested anywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

INPUT_TOPICS = (
    "color/image_raw",
    "color/image_raw/compressed",
    "depth/image_raw",
    "depth/image_raw/compressedDepth",
    "color/camera_info",
)
"""The node's camera topics, as a preset may remap them."""

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_KIND_NAMES = {bool: "true or false", int: "an integer", float: "a number"}
_SIMILAR = 0.75


class ArgumentError(ValueError):
    """A launch argument cannot be used; the text names it and says what can."""


@dataclass(frozen=True)
class CameraPreset:
    """How one camera driver names its topics. `remaps`: node's topic -> driver's topic; `parameters`: of the node;
    `optical_frame`: frame of the driver's colour images.
    """

    remaps: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    optical_frame: str = ""


def value(name: str, kind: type, text: str) -> Any:
    """A launch argument's text as str, bool, int or float. Raises ArgumentError."""
    if kind is str:
        return text
    try:
        return _TRUTHS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise ArgumentError(f'launch argument {name} must be {_KIND_NAMES[kind]}, got "{text}"') from None


def misspelt(given: Collection[str], declared: Collection[str]) -> dict[str, str]:
    """Names that were given but not declared and look like a declared one: {given: probably meant}.

    launch accepts unknown arguments without a word. Names that resemble nothing may be another launch file's that
    includes this one, so they are not told.
    """
    found = {}
    for name in set(given) - set(declared):
        if close := difflib.get_close_matches(name, declared, n=1, cutoff=_SIMILAR):
            found[name] = close[0]
    return dict(sorted(found.items()))


def read_camera(camera: str, folder: Path) -> CameraPreset:
    """The preset `camera`: the name of a file in `folder` (without .yaml), or a path; "" is one without any remap.

    Raises ArgumentError, which lists the presets or names what is wrong in the file.
    """
    if not camera:
        return CameraPreset()
    presets = sorted(path.stem for path in folder.glob("*.yaml"))
    file = folder / f"{camera}.yaml" if camera in presets else Path(camera).expanduser()
    if not file.is_file():
        raise ArgumentError(
            f'launch argument camera: "{camera}" is neither a preset ({", ".join(presets)}) nor a YAML file'
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArgumentError(f"launch argument camera: {file} cannot be read: {error}") from error
    return _checked(content, file)


def _checked(content: Any, file: Path) -> CameraPreset:
    kinds = {"description": str, "driver": str, "optical_frame": str, "remaps": dict, "parameters": dict}
    if not isinstance(content, dict):
        raise ArgumentError(f"{file}: a camera preset is a mapping with {', '.join(kinds)}")
    if unknown := content.keys() - kinds.keys():
        raise ArgumentError(f"{file}: unknown: {', '.join(map(str, unknown))}; a camera preset has {', '.join(kinds)}")
    for name, kind in kinds.items():
        if not isinstance(content.get(name, kind()), kind):
            raise ArgumentError(f"{file}: {name} must be {'a text' if kind is str else 'a mapping'}")
    remaps = content.get("remaps", {})
    for ours, theirs in remaps.items():
        if ours not in INPUT_TOPICS:
            raise ArgumentError(f'{file}: remaps: "{ours}" is no camera topic of the node ({", ".join(INPUT_TOPICS)})')
        if not isinstance(theirs, str) or not theirs:
            raise ArgumentError(f"{file}: remaps: {ours} needs the driver's topic name")
    return CameraPreset(remaps, content.get("parameters", {}), content.get("optical_frame", ""))
