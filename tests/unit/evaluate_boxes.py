"""`lisa` with a colour finder for a model and coloured boxes for a data set, for tests that start it in processes:
python THIS eval reasonseg ...
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from evaluation_sets import ColorBoxes
from fakes import ColorEngine

import lisa_ros.cli.eval_sets


def open_boxes(name: str, root: Path, split: str) -> ColorBoxes:
    """Five pictures, under the name that was asked for."""
    boxes = ColorBoxes(5, split)
    boxes.name = name
    return boxes


opening = SimpleNamespace(open_evaluation_set=open_boxes)

if __name__ == "__main__":
    from lisa_ros.cli.main import main

    sys.modules["lisa_ros.datasets.opening"] = opening
    lisa_ros.cli.eval_sets.load_engine = lambda args: ColorEngine()
    sys.exit(main(sys.argv[1:]))
