"""`scannet_tools` with the oracle for a model, here and in every process it starts: python THIS VERB ..."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scannet_oracle import load

import lisa_ros.cli.model

lisa_ros.cli.model.load_engine = load  # started processes import this file again, and so get it too

if __name__ == "__main__":
    from scannet_tools.cli import main

    sys.exit(main(sys.argv[1:]))
