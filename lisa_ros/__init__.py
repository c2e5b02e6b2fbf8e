"""lisa_ros: LISA reasoning segmentation for ROS 2.

`extend_path` joins this directory with the generated message modules (`lisa_ros.msg`, `.srv`, `.action`), so that a run from the
source tree finds them in the install space behind it.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
