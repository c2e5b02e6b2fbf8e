"""lisa_ros: LISA reasoning segmentation for ROS 2.

`extend_path` joins this directory with the generated message modules (`lisa_ros.msg`, `.srv`, `.action`), so that a run from the
source tree finds them in the install space behind it.
"""

import os
from pkgutil import extend_path

# torch's threads (libgomp) wait for each other by spinning, which takes the cores that they wait for from whoever else computes: on a robot somebody
# always does. This many rounds cost nothing where cores are idle (docs/performance.md); read when torch is imported, which is later.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
