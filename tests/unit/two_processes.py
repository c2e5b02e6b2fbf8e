"""For tests: a Python script or module that torch starts in two processes on the CPU."""

import os
import subprocess
import sys


def run_in_two(*words, **environment):
    """``words``: ``-m MODULE`` or a script, and its arguments. Returns what subprocess.run does, output as text; of a failure show
    all of it, as torchrun's own words come after the reason."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([*launch, *words], capture_output=True, text=True, timeout=900, env=environment)
