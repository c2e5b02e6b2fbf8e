"""Every parameter of the node: name, default, description, range, and when it may change. config/lisa.yaml holds the
same defaults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

ALWAYS = "any time"
UNCONFIGURED = "before configure"
INACTIVE = "before activate"
START = "at start only"

_TYPE_NAMES = {
    str: "text",
    list: "a list of texts",
    bool: "true or false",
    int: "an integer",
    float: "a number with a decimal point (1.0, not 1)",
}


class ParameterError(ValueError):
    """A parameter has a value that cannot be used; the text names it."""


@dataclass(frozen=True)
class Declared:
    """One parameter. `choices` or `low`..`high` limit it; `optional`: it may be empty text, for "as the checkpoint says";
    `changes` says when a new value takes effect and is accepted.
    """

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    changes: str = ALWAYS

    def descriptor(self) -> ParameterDescriptor:
        """For `ros2 param describe`."""
        text = f"{self.description} Changes: {self.changes}."
        descriptor = ParameterDescriptor(description=text, read_only=self.changes == START)
        if self.choices:
            descriptor.additional_constraints = "one of: " + ", ".join(self._allowed())
        if self.low is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=self.low, to_value=self.high)]
            else:
                descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high))]
        return descriptor

    def complaint(self, value: Any) -> str:
        """Why a value is refused; empty when it is fine."""
        if type(value) is not type(self.default):
            return f"parameter {self.name} must be {_TYPE_NAMES[type(self.default)]}, got {value!r}"
        if isinstance(value, list):
            return _names_complaint(self.name, value)
        if self.optional and value == "":
            return ""
        if self.choices and value not in self.choices:
            return f'parameter {self.name} must be one of {", ".join(self._allowed())}, got "{value}"'
        if isinstance(value, str) and not self.choices and not value.strip():
            return f"parameter {self.name} must not be empty"
        if self.low is not None and not (math.isfinite(value) and self.low <= value <= self.high):
            return f"parameter {self.name} must be within {self.low:g} and {self.high:g}, got {value:g}"
        return ""

    def _allowed(self) -> tuple[str, ...]:
        """The choices as a person reads them."""
        return (*self.choices, '""') if self.optional else self.choices


def _names_complaint(parameter: str, names: list[str]) -> str:
    """Why a list of names for topics is refused; empty when it is fine."""
    if names == [""]:
        return ""
    bad = [name for name in names if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)]
    if not names or bad:
        return f'parameter {parameter} must be [""] or names of letters, digits and _, got {names}'
    if len(set(names)) < len(names):
        return f"parameter {parameter} names one twice: {names}"
    return ""


LOAD_OPTIONS = ("device", "dtype", "vision_tower", "conversation", "quantization", "clip_fit", "compile")
"""Parameters that Engine.load takes under the same name."""

PARAMETERS = (
    Declared(
        "model", "lisa-mini", "The model: lisa-mini (embedded), a checkpoint folder, or a hub id.", changes=UNCONFIGURED
    ),
    Declared("device", "auto", "Where the model runs: auto, cpu, cuda, cuda:1, ...", changes=UNCONFIGURED),
    Declared(
        "dtype",
        "auto",
        "Precision of the model; auto is bfloat16 on CUDA and on CPUs that multiply it, else float32.",
        choices=("auto", "float32", "bfloat16", "float16"),
        changes=UNCONFIGURED,
    ),
    Declared(
        "vision_tower",
        "",
        "Folder or hub id of the CLIP tower, for checkpoints that hold none; empty: the one that the checkpoint names.",
        optional=True,
        changes=UNCONFIGURED,
    ),
    Declared(
        "conversation",
        "",
        "Prompt template; empty: the checkpoint's.",
        choices=("llava_v1", "llava_llama_2", "chatml", "chatml_named"),
        optional=True,
        changes=UNCONFIGURED,
    ),
    Declared(
        "quantization",
        "none",
        "Bits of the language model's weights: less memory, slightly other answers; none keeps those of dtype.",
        choices=("none", "8bit", "4bit"),
        changes=UNCONFIGURED,
    ),
    Declared(
        "clip_fit",
        "",
        "What the language model sees of the frame: crop (its middle square, as the reference), pad (all of it, in a square) "
        "or unpad (all of it, without the square's bars); empty: as the checkpoint says.",
        choices=("crop", "pad", "unpad"),
        optional=True,
        changes=UNCONFIGURED,
    ),
    Declared(
        "compile",
        False,
        "Compile the model: configure takes longer, answers take less.",
        changes=UNCONFIGURED,
    ),
    Declared("autostart", True, "Configure and activate at once, without a lifecycle manager.", changes=START),
    Declared(
        "mode",
        "mask",
        "mask: masks without an explanation, fastest; chat: the model writes an answer.",
        choices=("mask", "chat"),
    ),
    Declared("max_new_tokens", 64, "Longest answer in chat mode [tokens]; what is longer is cut off.", 1, 4096),
    Declared(
        "query_policy",
        "newest",
        "What a new query does to others. newest: one that waits ends as CANCELLED; preempt: also the one that runs; "
        "fifo: all wait in line.",
        choices=("newest", "preempt", "fifo"),
    ),
    Declared("queue_size", 20, "Queries that may wait with fifo; more are REJECTED.", 1, 10_000),
    Declared("max_query_rate", 0.0, "More queries than this are REJECTED [1/s]; 0 = no limit.", 0.0, 1e6),
    Declared(
        "standing_query",
        "",
        "A query that is answered again for each new frame of the first camera; empty: none.",
        optional=True,
    ),
    Declared(
        "engine_timeout",
        120.0,
        "The model is started again, and its query FAILED, when it gives no sign of life for so long [s]; 0 = never.",
        0.0,
        86_400.0,
    ),
    Declared(
        "cameras",
        [""],
        'Names of the cameras. One without a name ("") has its topics at color/image_raw, ...; one called wrist at '
        "wrist/color/image_raw, ..., and its outputs at ~/wrist/mask, ...",
        changes=UNCONFIGURED,
    ),
    Declared(
        "color_transport",
        "raw",
        "Colour input: raw (color/image_raw) or compressed (color/image_raw/compressed, JPEG or PNG).",
        choices=("raw", "compressed"),
        changes=INACTIVE,
    ),
    Declared(
        "depth_transport",
        "raw",
        "Depth input: raw (depth/image_raw) or compressed (depth/image_raw/compressedDepth, PNG or RVL).",
        choices=("raw", "compressed"),
        changes=INACTIVE,
    ),
    Declared("max_image_pixels", 25_000_000, "Images with more pixels are refused [pixels].", 1, 1_000_000_000),
    Declared(
        "sync_tolerance",
        0.02,
        "Largest distance between the stamps of a colour and a depth image of one frame [s].",
        0.0,
        1.0,
    ),
    Declared("buffer_size", 5, "Messages kept per image topic for pairing.", 1, 30, changes=INACTIVE),
    Declared(
        "frame_timeout",
        1.0,
        "How long a query waits for the first colour image, and after that for the first depth and camera_info [s].",
        0.0,
        60.0,
    ),
    Declared("max_age", 0.0, "Frames older than this are refused with NO_FRAME [s]; 0 = any age.", 0.0, 1e9),
    Declared(
        "target_frame",
        "",
        "Frame of points and boxes, by TF at the stamp of the image; empty: optical frame of the colour camera.",
        optional=True,
    ),
    Declared(
        "transform_timeout",
        0.2,
        "How long an answer waits for a transform that is not there yet [s].",
        0.0,
        10.0,
    ),
    Declared("max_query_length", 1000, "Longer queries are REJECTED [characters].", 1, 100_000),
    Declared("depth_scale", 0.001, "Metres of one unit of a 16-bit depth image.", 1e-6, 1.0),
    Declared("min_depth", 0.1, "Nearer depth is ignored [m].", 0.0, 100.0),
    Declared("max_depth", 10.0, "Farther depth is ignored [m].", 0.0, 1000.0),
    Declared("remove_flying_pixels", True, "Drop depth at object edges where the sensor mixed front and back."),
    Declared("largest_cluster", True, "Keep only the largest connected part of each instance in 3D."),
    Declared(
        "split",
        "seg",
        "What an instance is. seg: one [SEG] of the model; cluster: one connected part in 3D.",
        choices=("seg", "cluster"),
    ),
    Declared("background_margin", 0.03, "Distance that the background cloud keeps from the target [m].", 0.0, 1.0),
    Declared("background_voxel", 0.02, "Edge of the voxels that thin the background cloud [m]; 0 = all.", 0.0, 1.0),
    Declared("input_timeout", 3.0, "Warn when an input topic has been silent for this long [s].", 0.1, 3600.0),
)


class Parameters:
    """The declared parameters of a node. Values are read as `parameters["name"]`, from any thread."""

    def __init__(
        self, node: Node, phase: Callable[[], str], on_change: Callable[[set[str]], None] = lambda names: None
    ) -> None:
        """Declare everything; raises ParameterError for a bad start value.

        phase: the lifecycle state's label, asked when a parameter is about to change. on_change: called with the names
        of those that have changed.
        """
        self._declared = {declared.name: declared for declared in PARAMETERS}
        self._values: dict[str, Any] = {}
        self._phase, self._on_change = phase, on_change
        for declared in PARAMETERS:
            try:
                value = node.declare_parameter(declared.name, declared.default, declared.descriptor()).value
            except (InvalidParameterTypeException, InvalidParameterValueException) as error:
                given = node._parameter_overrides.get(declared.name)  # rclpy's own message does not say what is allowed
                value = given.value if given is not None else None
                raise ParameterError(declared.complaint(value) or f"parameter {declared.name}: {error}") from error
            if complaint := declared.complaint(value):
                raise ParameterError(complaint)
            self._values[declared.name] = value
        if complaint := _depth_range_complaint(self._values):
            raise ParameterError(complaint)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def load_options(self) -> dict[str, Any]:
        """Keyword arguments of Engine.load: device, dtype, and of the others those that do not have their default."""
        always = ("device", "dtype")
        return {
            name: self._values[name]
            for name in LOAD_OPTIONS
            if name in always or self._values[name] != self._declared[name].default
        }

    def lift_options(self) -> dict[str, Any]:
        """Keyword arguments of lisa_ros.geometry.lift."""
        return {
            name: self._values[name] for name in ("min_depth", "max_depth", "remove_flying_pixels", "largest_cluster")
        }

    def _check(self, changed: Sequence[Parameter]) -> SetParametersResult:
        merged = dict(self._values)
        for parameter in changed:
            declared = self._declared.get(parameter.name)
            if declared is None:
                continue
            complaint = declared.complaint(parameter.value) or self._too_late(declared)
            if complaint:
                return SetParametersResult(successful=False, reason=complaint)
            merged[parameter.name] = parameter.value
        complaint = _depth_range_complaint(merged)
        return SetParametersResult(successful=not complaint, reason=complaint)

    def _too_late(self, declared: Declared) -> str:
        phase = self._phase()
        allowed = {UNCONFIGURED: ("unconfigured",), INACTIVE: ("unconfigured", "inactive")}.get(declared.changes)
        if allowed is None or phase in allowed:
            return ""
        return f"parameter {declared.name} can only change {declared.changes}; the node is {phase}"

    def _take(self, changed: Sequence[Parameter]) -> None:
        taken = {parameter.name: parameter.value for parameter in changed if parameter.name in self._declared}
        self._values |= taken
        self._on_change(set(taken))


def _depth_range_complaint(values: dict[str, Any]) -> str:
    if values["min_depth"] < values["max_depth"]:
        return ""
    return f"parameter min_depth ({values['min_depth']:g}) must be smaller than max_depth ({values['max_depth']:g})"
