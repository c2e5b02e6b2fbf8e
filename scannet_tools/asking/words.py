"""What the things in a scan are called, and which names may mean the same thing.

Sources: the categories and nyu40 classes of `scannetv2-labels.combined.tsv`, by how often ScanNet has them.
"""

from __future__ import annotations

CLASS_NOUNS = {
    3: "cabinet", 4: "bed", 5: "chair", 6: "sofa", 7: "table", 8: "door", 9: "window", 10: "bookshelf", 11: "picture",
    12: "counter", 13: "blinds", 14: "desk", 15: "shelf", 16: "curtain", 17: "dresser", 18: "pillow", 19: "mirror",
    20: "mat", 21: "clothes", 23: "book", 24: "refrigerator", 25: "television", 26: "paper", 27: "towel",
    28: "shower curtain", 29: "box", 30: "whiteboard", 31: "person", 32: "nightstand", 33: "toilet", 34: "sink",
    35: "lamp", 36: "bathtub", 37: "bag",
}  # fmt: skip
"""nyu40 id -> what all things of the class are called. Of the other classes (38, 39, 40) each category is a noun."""

STRUCTURE = (1, 2, 22)
"""nyu40 ids of walls, floors and ceilings. They are not asked for: a mask of half a room says little."""

ANYTHING = frozenset(
    ("", "object", "furniture", "structure", "machine", "stand", "decoration", "display", "frame", "platform", "case")
)
"""Labels that may stand for nearly anything. Such things are not asked for."""

MAY_BE_THE_SAME = (
    ("chair", "stool", "step stool", "bench", "piano bench", "seat", "ottoman", "footstool", "footrest"),
    ("sofa", "sofa chair", "armchair", "futon", "sofa bed", "bench", "seat"),
    ("bed", "bunk bed", "sofa bed", "futon", "crib", "mattress", "bedframe", "headboard"),
    ("desk", "table", "counter", "workbench", "kitchen island", "bar", "breakfast bar", "podium"),
    ("nightstand", "end table", "side table", "cabinet", "dresser", "drawer"),
    ("cabinet", "dresser", "wardrobe", "closet", "drawer", "chest", "tv stand", "bathroom vanity", "storage organizer"),
    ("bookshelf", "shelf", "rack", "storage organizer", "display rack"),
    ("counter", "kitchen cabinet", "bathroom cabinet", "bathroom vanity", "kitchen island"),
    ("sink", "bathroom vanity", "bathroom counter"),
    ("bathtub", "shower"),
    ("door", "doorframe", "closet door", "closet", "bathroom stall", "window"),
    ("window", "windowsill", "glass", "blinds"),
    ("picture", "poster", "whiteboard", "blackboard", "board", "bulletin board", "sign", "calendar", "wall hanging",
     "banner", "projector screen", "mirror", "dart board"),
    ("curtain", "shower curtain", "blinds", "shower curtain rod", "curtain rod"),
    ("box", "container", "storage bin", "storage container", "create", "crate", "tissue box", "mailbox", "toolbox",
     "basket", "bin", "cart", "suitcase"),
    ("trash can", "trash bin", "recycling bin", "compost bin", "bin", "bucket", "storage bin", "basket", "trash bag",
     "garbage bag", "laundry hamper", "laundry basket"),
    ("bag", "backpack", "purse", "suitcase", "luggage", "guitar case"),
    ("lamp", "light", "ceiling light", "studio light", "chandelier"),
    ("television", "monitor", "laptop", "projector screen"),
    ("computer tower", "printer", "copier", "speaker"),
    ("cup", "mug", "glass", "wine glass", "bowl"),
    ("bottle", "can", "jar", "vase", "water pitcher", "laundry detergent", "soap dispenser", "spray bottle"),
    ("towel", "clothes", "blanket", "jacket", "coat", "shirt", "cloth", "hat", "mat"),
    ("mat", "rug", "carpet"),
    ("pillow", "cushion", "stuffed animal"),
    ("refrigerator", "cooler", "vending machine", "water cooler"),
    ("washing machine", "clothes dryer", "dishwasher"),
    ("oven", "stove", "stovetop", "toaster oven", "microwave", "toaster", "range hood"),
    ("plant", "potted plant", "flower stand", "flowerpot", "vase"),
    ("book", "paper", "magazine", "cd case", "folder", "calendar"),
    ("shoe", "flip flops", "sock"),
    ("ladder", "stepladder", "step stool", "stairs", "stair"),
    ("keyboard", "laptop"),
    ("piano", "keyboard", "keyboard piano"),
    ("guitar", "guitar case", "instrument case"),
    ("radiator", "heater", "fan", "vent", "fireplace"),
    ("bicycle", "treadmill", "exercise bike"),
    ("teapot", "coffee kettle", "water pitcher", "pan", "pot"),
)  # fmt: skip
"""Names that one annotator gives a thing and another would not. So are all names with the same last word."""

BIG_THINGS = (
    "bed", "sofa", "toilet", "bathtub", "refrigerator", "bookshelf", "washing machine", "stove", "piano", "bicycle",
    "whiteboard", "guitar", "dresser", "desk", "ladder", "shower curtain", "ping pong table", "treadmill",
)  # fmt: skip
"""Nouns of what annotators do not leave out: larger than half a metre, and of its own shape."""

_PLURALS = {"shelf": "shelves", "bookshelf": "bookshelves", "person": "people", "mouse": "mice"}


def plural(noun: str) -> str:
    """Of a noun of one or more words; "clothes" and the like stay as they are."""
    *before, last = noun.split(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("ch", "sh", "ss", "x")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in ("a", "e", "o", "u"):
        last = f"{last[:-1]}ies"
    elif not last.endswith("s"):
        last += "s"
    return " ".join((*before, last))


def is_plural(label: str) -> bool:
    """Whether a label stands for several things, or for what cannot be counted."""
    return (label.endswith("s") and not label.endswith("ss")) or label in ("paper", "toilet paper", "clothing")


def may_be_the_same(some: frozenset[str], others: frozenset[str]) -> bool:
    """Whether two things, each with all its names, might go by the same name."""
    if some & others or {name.split(" ")[-1] for name in some} & {name.split(" ")[-1] for name in others}:
        return True
    return any(some & group and others & group for group in _GROUPS)


_GROUPS = tuple(map(frozenset, MAY_BE_THE_SAME))
