"""A camera made of files, and the LISA node: ros2 launch lisa_ros replay.launch.py source:=arc2017

All arguments of lisa.launch.py work here too. Ends when the replay cannot read its source.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription

ARGUMENTS = {  # argument = replay parameter: (type, default, description)
    "source": (str, "synthetic", "synthetic, synthetic:SEED, arc2017, or a folder of colour + depth + camera JSON"),
    "frames": (int, "5", "number of synthetic scenes"),
    "rate": (float, "10.0", "frames per second"),
    "loop": (bool, "true", "start again after the last frame"),
    "stamps": (str, "fresh", "fresh (time of publishing) or file (as recorded)"),
    "depth_encoding": (str, "16UC1", "16UC1 (millimetres) or 32FC1 (metres)"),
    "hold_frame": (int, "-1", "publish only this frame; -1 plays all"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (_, default, description) in ARGUMENTS.items()
    ]
    node = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(Path(__file__).parent / "lisa.launch.py")))
    # the node's launch file comes first: it declares `namespace` and sets the Fast DDS profile for both processes
    return LaunchDescription([*arguments, node, OpaqueFunction(function=start_replay)])


def start_replay(context: LaunchContext) -> list:
    """The replay in the node's namespace."""
    given = context.launch_configurations
    parameters = {
        name: ParameterValue(_value(name, kind, given[name]), value_type=kind)
        for name, (kind, _, _) in ARGUMENTS.items()
    }
    return [
        Node(
            package="lisa_ros",
            executable="lisa_replay",
            name="lisa_replay",
            namespace=given["namespace"],
            parameters=[parameters],
            output="screen",
            on_exit=Shutdown(reason="the replay has ended"),
        )
    ]


def _value(name: str, kind: type, text: str):
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise RuntimeError(f'launch argument {name} must be true or false, got "{text}"')
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise RuntimeError(f'launch argument {name} must be a {kind.__name__}, got "{text}"') from None
