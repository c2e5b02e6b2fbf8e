"""Where the Fast DDS profile for camera-sized messages lies. Importable without rclpy: it must be set before rclpy
starts.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"


def config_folder() -> Path:
    """The folder `config/`: of the source tree if we run from it, else of the installed package. Raises
    FileNotFoundError.
    """
    candidates = [Path(__file__).resolve().parents[2] / "config"]
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    candidates += [Path(prefix) / "share" / "lisa_ros" / "config" for prefix in prefixes if prefix]
    for folder in candidates:
        if (folder / "fastdds.xml").is_file():
            return folder
    raise FileNotFoundError(
        "config/fastdds.xml of lisa_ros not found: neither in " + " nor in ".join(map(str, candidates))
    )


def profile_path() -> Path:
    """The Fast DDS profile; assign it to FASTRTPS_DEFAULT_PROFILES_FILE in every process that sends or receives
    images.
    """
    return config_folder() / "fastdds.xml"
