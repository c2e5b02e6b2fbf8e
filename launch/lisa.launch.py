"""Start the LISA node: ros2 launch lisa_ros lisa.launch.py model:=lisa-mini

An argument left empty keeps what params_file says. `ros2 launch lisa_ros lisa.launch.py --show-args` lists all. Remap
the
camera with, for example, `ros2 launch` inside your own launch file and SetRemap, or start your camera under these
names.
"""

import os
from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).parent.parent / "config"

PARAMETERS = {  # argument = node parameter: (type, description)
    "model": (str, "lisa-mini (embedded), a checkpoint folder, or a hub id"),
    "device": (str, "auto, cpu, cuda, cuda:1, ..."),
    "dtype": (str, "auto, float32, bfloat16, float16"),
    "vision_tower": (str, "folder or hub id of the CLIP tower, for checkpoints that hold none"),
    "conversation": (str, "prompt template: llava_v1 or llava_llama_2"),
    "quantization": (str, "bits of the language model's weights: none, 8bit, 4bit"),
    "clip_fit": (str, "what the language model sees of the frame: crop (its middle square) or pad (all of it)"),
    "compile": (bool, "compile the model: slower start, faster answers"),
    "mode": (str, "mask (one mask, fastest) or chat (the model also writes an answer)"),
    "color_transport": (str, "raw or compressed"),
    "autostart": (bool, "configure and activate at once (true), or wait for a lifecycle manager (false)"),
    "use_sim_time": (bool, "take the time from /clock"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "namespace", default_value="", description="namespace of the node and its relative topics"
        ),
        DeclareLaunchArgument(
            "params_file", default_value=str(CONFIG / "lisa.yaml"), description="parameter file of the node"
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error"),
        DeclareLaunchArgument("respawn", default_value="false", description="start the node again when it dies"),
    ]
    for name, (_, description) in PARAMETERS.items():
        arguments.append(
            DeclareLaunchArgument(name, default_value="", description=f"{description}; empty: as in params_file")
        )
    return LaunchDescription([*arguments, *fast_dds_profile(), OpaqueFunction(function=start_node)])


def fast_dds_profile() -> list:
    """Room for camera-sized messages in shared memory, unless the user has a profile of their own."""
    if any(os.environ.get(name) for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")):
        return []
    return [SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", str(CONFIG / "fastdds.xml"))]


def start_node(context: LaunchContext) -> list:
    """The node with the arguments that were given."""
    given = context.launch_configurations
    overrides = {}
    for name, (kind, _) in PARAMETERS.items():
        if given[name] != "":
            value = _truth(name, given[name]) if kind is bool else given[name]
            overrides[name] = ParameterValue(value, value_type=kind)
    return [
        Node(
            package="lisa_ros",
            executable="lisa_node",
            name="lisa",
            namespace=given["namespace"],
            parameters=[given["params_file"], overrides],
            arguments=["--ros-args", "--log-level", given["log_level"]],
            output="screen",
            respawn=_truth("respawn", given["respawn"]),
            respawn_delay=2.0,
        )
    ]


def _truth(name: str, text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise RuntimeError(f'launch argument {name} must be true or false, got "{text}"')
    return values[text.lower()]
