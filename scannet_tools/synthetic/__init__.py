"""Synthetic indoor scenes with questions: furnished rooms and table tops, ray-cast, deterministic by seed."""

from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.questions import Question
from scannet_tools.synthetic.scene import SceneObject, SyntheticFrame, make_frame, make_sequence

__all__ = ["KIND_NAMES", "Question", "SceneObject", "SyntheticFrame", "make_frame", "make_sequence"]
