"""What the motion sensor of a hand-held camera says on a walk, as `.sens` files keep it: about 53 readings a second."""

from __future__ import annotations

import numpy as np

from scannet_tools.sens.header import IMU
from scannet_tools.synthetic.walk import Walk

READINGS_PER_SECOND = 53.0
_STEP = 0.01  # seconds between the poses that rates are taken from
_GRAVITY = 9.81  # m/s^2 in a g
_NORTH = np.array([0.0, 20.0, -43.0])  # microtesla: a field that dips, along the layout's y


def imu_readings(walk: Walk, seconds: float, start_us: int) -> np.ndarray:
    """Readings [m] of dtype IMU, in the camera's optical frame, without noise. start_us: microseconds at time 0."""
    times = np.arange(int(seconds * READINGS_PER_SECOND)) / READINGS_PER_SECOND
    readings = np.zeros(len(times), IMU)
    readings["timestamp_us"] = start_us + np.round(times * 1e6).astype(np.uint64)
    for reading, time in zip(readings, times, strict=True):
        before, now, after = (walk.pose(time + shift) for shift in (-_STEP, 0.0, _STEP))
        into_camera = now[:3, :3].T
        turn = before[:3, :3].T @ after[:3, :3] / (2 * _STEP)
        moved = (before[:3, 3] - 2 * now[:3, 3] + after[:3, 3]) / _STEP**2
        reading["rotation_rate"] = (
            np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
        )
        reading["acceleration"] = into_camera @ moved / _GRAVITY
        reading["magnetic_field"] = into_camera @ _NORTH
        reading["gravity"] = into_camera @ np.array([0.0, 0.0, -1.0])
        r = now[:3, :3]
        reading["attitude"] = (
            np.arctan2(r[2, 1], r[2, 2]),
            -np.arcsin(np.clip(r[2, 0], -1, 1)),
            np.arctan2(r[1, 0], r[0, 0]),
        )
    return readings
