"""ScanNet's `.sens` files: one RGB-D recording with poses.

header.py        what stands before the frames
reader.py        SensFile: any frame at any time, by seeking
writer.py        SensWriter
stamps.py        times that can be trusted
registration.py  depth in the view of colour, for devices whose two cameras differ
"""

from scannet_tools.sens.header import SensHeader
from scannet_tools.sens.reader import SensFile, SensFrame
from scannet_tools.sens.writer import SensWriter

__all__ = ["SensFile", "SensFrame", "SensHeader", "SensWriter"]
