"""Segment Anything (Kirillov et al., ICCV 2023) as LISA uses it, with the key names of the published SAM and LISA
checkpoints.

A lean module of our own because ``segment-anything`` cannot be imported without torchvision, and because attention goes
through ``scaled_dot_product_attention`` here, relative positions included.
"""

from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.sam.sam import Sam

__all__ = ["Sam", "SamConfig"]
