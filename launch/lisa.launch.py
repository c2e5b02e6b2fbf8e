"""Start the LISA node: ros2 launch lisa_ros lisa.launch.py camera:=realsense query:='the thing I can drink from'

An argument left empty keeps what the camera's preset says, and then what params_file says.
`ros2 launch lisa_ros lisa.launch.py --show-args` lists all. The camera's driver is started by you: each preset in
config/cameras/ names the command.
"""

import os
from pathlib import Path

import yaml
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from lisa_ros.node.launch_arguments import CameraPreset, misspelt, read_camera, value

CONFIG = Path(__file__).parent.parent / "config"

PARAMETERS = {  # argument: (node parameter, type, description)
    "model": ("model", str, "lisa-mini (embedded), a checkpoint folder, or a hub id"),
    "device": ("device", str, "auto, cpu, cuda, cuda:1, ..."),
    "dtype": ("dtype", str, "auto, float32, bfloat16, float16"),
    "vision_tower": ("vision_tower", str, "folder or hub id of the CLIP tower, for checkpoints that hold none"),
    "conversation": ("conversation", str, "prompt template: llava_v1, llava_llama_2, chatml or chatml_named"),
    "quantization": ("quantization", str, "bits of the language model's weights: none, 8bit, 4bit"),
    "clip_fit": ("clip_fit", str, "what the language model sees of the frame: crop (its middle square), pad (all, in a square) or unpad (all)"),
    "compile": ("compile", bool, "compile the model: slower start, faster answers"),
    "mode": ("mode", str, "mask (one mask, fastest) or chat (the model also writes an answer)"),
    "query": ("standing_query", str, "a query that is answered again for each new frame"),
    "target_frame": ("target_frame", str, "frame of clouds and boxes, by TF"),
    "color_transport": ("color_transport", str, "raw or compressed"),
    "depth_transport": ("depth_transport", str, "raw or compressed"),
    "autostart": ("autostart", bool, "configure and activate at once (true), or wait for a lifecycle manager (false)"),
    "use_sim_time": ("use_sim_time", bool, "take the time from /clock"),
}

OTHERS = {  # argument: (default, description)
    "namespace": ("", "namespace of the node and its relative topics"),
    "params_file": (str(CONFIG / "lisa.yaml"), "parameter file of the node"),
    "camera": (
        "",
        "whose topics to listen to: "
        + ", ".join(sorted(path.stem for path in (CONFIG / "cameras").glob("*.yaml")))
        + ", or a file like those in config/cameras; empty: color/image_raw, depth/image_raw, color/camera_info",
    ),
    "rviz": ("false", "start rviz2 with config/lisa.rviz"),
    "log_level": ("info", "debug, info, warn, error"),
    "respawn": ("false", "start the node again when it dies"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in OTHERS.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value="", description=f"{description}; empty: as in params_file")
        for name, (_, _, description) in PARAMETERS.items()
    ]
    return LaunchDescription([*arguments, *fast_dds_profile(), OpaqueFunction(function=start)])


def fast_dds_profile() -> list:
    """Room for camera-sized messages in shared memory, unless the user has a profile of their own."""
    if any(os.environ.get(name) for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")):
        return []
    return [SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", str(CONFIG / "fastdds.xml"))]


def start(context: LaunchContext) -> list:
    """The node with the arguments that were given, and RViz when asked for."""
    given = context.launch_configurations
    for name, meant in misspelt(given, [*PARAMETERS, *OTHERS]).items():
        get_logger("lisa_ros").warning(f"launch argument {name} is not known and has no effect; did you mean {meant}?")
    camera = read_camera(given["camera"], CONFIG / "cameras")
    overrides = dict(camera.parameters)
    for argument, (parameter, kind, _) in PARAMETERS.items():
        if given[argument] != "":
            overrides[parameter] = ParameterValue(value(argument, kind, given[argument]), value_type=kind)
    node = Node(
        package="lisa_ros",
        executable="lisa_node",
        name="lisa",
        namespace=given["namespace"],
        parameters=[given["params_file"], overrides],
        remappings=list(camera.remaps.items()),
        arguments=["--ros-args", "--log-level", given["log_level"]],
        output="screen",
        respawn=value("respawn", bool, given["respawn"]),
        respawn_delay=2.0,
    )
    return [node, rviz(given, camera)] if value("rviz", bool, given["rviz"]) else [node]


def rviz(given: dict, camera: CameraPreset) -> Node:
    """rviz2 on the node's topics, seen from the target frame or the camera."""
    file = CONFIG / "lisa.rviz"
    displays = yaml.safe_load(file.read_text())["Visualization Manager"]["Displays"]
    topics = [display["Topic"]["Value"] for display in displays if "Topic" in display]
    namespace = given["namespace"].strip("/")
    frame = given["target_frame"] or camera.optical_frame
    sim_time = given["use_sim_time"] != "" and value("use_sim_time", bool, given["use_sim_time"])
    return Node(
        package="rviz2",
        executable="rviz2",
        name="lisa_rviz",
        arguments=["-d", str(file), *(["-f", frame] if frame else [])],
        remappings=[(topic, f"/{namespace}{topic}") for topic in topics] if namespace else [],
        parameters=[{"use_sim_time": sim_time}],
        output="screen",
    )
