"""A camera made of files or a bag, the LISA node, and a recording of its answers:

    ros2 launch lisa_ros replay.launch.py source:=arc2017
    ros2 launch lisa_ros replay.launch.py source:=BAG query:='the chair' record:=answers

All arguments of lisa.launch.py work here too. Ends when the replay cannot read its source or the recording fails.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from lisa_ros.node.launch_arguments import misspelt, read_camera, value

HERE = Path(__file__).parent

REPLAY = {  # argument = replay parameter: (type, default, description)
    "source": (str, "synthetic", "synthetic, synthetic:SEED, arc2017, a folder of pictures, a bag's folder or file"),
    "frames": (int, "5", "number of synthetic scenes"),
    "rate": (float, "0.0", "pictures per second, or how many times faster than recorded a bag plays; 0: 10, or 1"),
    "loop": (bool, "true", "start again after the last frame"),
    "stamps": (str, "fresh", "fresh (time of publishing) or file (as recorded)"),
    "depth_encoding": (str, "16UC1", "16UC1 (millimetres) or 32FC1 (metres)"),
    "hold_frame": (int, "-1", "publish only this frame; -1 plays all"),
    "clock": (float, "0.0", "of bags with stamps:=file: Hz of /clock; 0: none"),
    "paused": (bool, "false", "begin paused; services lisa_replay/pause and lisa_replay/step"),
    "color_topic": (str, "", "the bag's colour topic; empty: found by its name"),
    "depth_topic": (str, "", "the bag's depth topic; empty: found by its name"),
    "camera_info_topic": (str, "", "the bag's camera_info topic of the colour camera; empty: found by its name"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (_, default, description) in REPLAY.items()
    ]
    arguments.append(
        DeclareLaunchArgument("record", default_value="", description="new folder for the outputs' bag; empty: none")
    )
    node = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / "lisa.launch.py")))
    # the node's launch file comes first: it declares `namespace` and `camera` and sets the Fast DDS profile for all
    return LaunchDescription([*arguments, node, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list:
    """Replay and recorder in the node's namespace. The replay publishes what the node's camera would."""
    given = context.launch_configurations
    for name, meant in misspelt(given, [*REPLAY, "record"]).items():
        get_logger("lisa_ros").warning(f"launch argument {name} is not known and has no effect; did you mean {meant}?")
    replay = Node(
        package="lisa_ros",
        executable="lisa_replay",
        name="lisa_replay",
        namespace=given["namespace"],
        parameters=[{name: _parameter(name, kind, given[name]) for name, (kind, _, _) in REPLAY.items()}],
        remappings=list(read_camera(given["camera"], HERE.parent / "config" / "cameras").remaps.items()),
        output="screen",
        on_exit=Shutdown(reason="the replay has ended"),
    )
    if not given["record"]:
        return [replay]
    recorder = Node(
        package="lisa_ros",
        executable="lisa_record",
        name="lisa_record",
        namespace=given["namespace"],
        parameters=[{"out": _parameter("record", str, given["record"])}],
        output="screen",
        on_exit=Shutdown(reason="the recording has ended"),
    )
    return [recorder, replay]


def _parameter(name: str, kind: type, text: str) -> ParameterValue:
    """With its type: launch takes the text 5 for a number otherwise."""
    return ParameterValue(value(name, kind, text), value_type=kind)
