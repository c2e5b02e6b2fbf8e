"""For `pip install .` without ROS; everything it says stands in pyproject.toml. colcon takes CMakeLists.txt instead."""

from setuptools import setup

setup()
