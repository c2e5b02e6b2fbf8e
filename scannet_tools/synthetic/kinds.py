"""The catalogue: every kind of object, what it is called, how it may look, where it stands and what it is for."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import furniture_shapes as furniture
from . import hobby_shapes as hobby
from . import household_shapes as household
from . import kitchen_shapes as kitchen
from . import table_shapes as table
from .materials import Material
from .palette import sample
from .shapes import Shape
from .uses import USES, Use


@dataclass(frozen=True)
class Kind:
    """One kind. `places`: "table" (a table-top scene), "floor", "wall" (back to a wall), "hung", "on" (on furniture)."""

    name: str
    build: Callable[[np.random.Generator, Material, str], Shape]
    colors: tuple[str, ...]
    materials: tuple[str, ...]
    places: tuple[str, ...]
    synonyms: tuple[str, ...] = ()
    faces_viewer: bool = False  # has a front that is usually turned to the person who uses it
    shows: tuple[str, ...] = ()  # kinds that its parts look like: never asked for as absent while it is in view


_WIDE = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")
_TABLE, _ROOM = ("table",), ("floor",)
_CERAMIC, _PLASTIC, _FABRIC = ("ceramic",), ("plastic",), ("fabric",)

# The order is the category index of exported data: append only.
KINDS: tuple[Kind, ...] = (
    Kind("mug", table.mug, _WIDE, _CERAMIC, _TABLE, ("coffee mug", "cup")),
    Kind("bottle", table.bottle, ("red", "green", "blue", "brown", "purple", "white", "black"), ("glass", "plastic"), _TABLE, ("flask",)),
    Kind("bowl", table.bowl, _WIDE, _CERAMIC, _TABLE, ()),
    Kind("plate", table.plate, ("red", "yellow", "green", "blue", "pink", "white", "black"), _CERAMIC, _TABLE, ("dish",)),
    Kind("wine glass", table.wine_glass, ("red", "green", "blue", "purple", "pink", "white"), ("glass",), _TABLE, ("goblet",)),
    Kind("can", table.can, ("red", "orange", "yellow", "green", "blue", "purple", "black"), ("metal",), _TABLE, ("soda can",)),
    Kind("book", table.book, ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black"), ("paper",), _TABLE, ("novel",)),
    Kind("laptop", table.laptop, ("gray", "black", "white", "blue", "pink"), ("metal",), ("table", "on"), ("notebook computer",), True),
    Kind("keyboard", table.keyboard, ("black", "white", "gray", "blue", "pink"), _PLASTIC, _TABLE, ("computer keyboard",), True),
    Kind("phone", table.phone, ("red", "yellow", "green", "blue", "purple", "pink", "white"), _PLASTIC, _TABLE, ("smartphone", "mobile phone")),
    Kind("vase", table.vase, _WIDE, _CERAMIC, ("table", "on"), ("flower vase",)),
    Kind("banana", table.banana, ("yellow", "green"), ("fruit",), _TABLE, ()),
    Kind("apple", table.apple, ("red", "green", "yellow"), ("fruit",), _TABLE, ()),
    Kind("box", table.carton, ("brown", "white", "red", "green", "blue", "yellow", "purple"), ("cardboard",), ("table", "floor"), ("carton", "package")),
    Kind("teapot", table.teapot, ("red", "orange", "green", "blue", "white", "brown", "pink"), _CERAMIC, _TABLE, ("tea pot",)),
    Kind("scissors", table.scissors, ("red", "orange", "green", "blue", "purple", "black"), _PLASTIC, _TABLE, ("pair of scissors",)),
    Kind("candle", table.candle, ("red", "yellow", "green", "blue", "purple", "white", "pink"), ("wax",), _TABLE, ()),
    Kind("clock", table.clock, ("red", "orange", "yellow", "green", "blue", "purple", "black"), ("metal",), ("table",), ("alarm clock",), True),
    Kind("ball", table.ball, ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white"), ("rubber",), ("table", "floor"), ()),
    Kind("basket", table.basket, ("brown", "yellow", "white", "blue", "red", "green"), ("wicker",), ("table", "floor"), ()),
    Kind("teddy bear", table.teddy, ("brown", "white", "pink", "purple", "yellow", "blue"), ("fabric",), ("table", "on", "floor"), ("teddy", "stuffed bear"), True),
    Kind("pan", table.pan, ("red", "green", "blue", "orange", "black"), ("metal",), _TABLE, ("frying pan",)),
    Kind("lamp", table.lamp, ("red", "orange", "yellow", "green", "blue", "white", "purple"), ("fabric",), ("table", "floor", "on"), ()),
    Kind("chair", furniture.chair, ("red", "yellow", "green", "blue", "brown", "white", "black"), ("wood", "plastic"), _ROOM, (), True),
    Kind("stool", furniture.stool, ("red", "orange", "yellow", "green", "blue", "brown", "white"), ("wood", "plastic"), _ROOM, ("bar stool",)),
    Kind("armchair", furniture.armchair, ("red", "orange", "yellow", "green", "blue", "brown", "gray", "purple"), ("fabric", "leather"), ("wall", "floor"), ("lounge chair",), True),
    Kind("sofa", furniture.sofa, ("red", "green", "blue", "brown", "gray", "white", "purple"), ("fabric", "leather"), ("wall",), ("couch",)),
    Kind("table", furniture.table, ("brown", "white", "black", "gray"), ("wood",), _ROOM, ()),
    Kind("bed", furniture.bed, ("red", "green", "blue", "purple", "pink", "gray", "orange"), _FABRIC, ("wall",), ()),
    Kind("cabinet", furniture.cabinet, ("brown", "white", "gray", "blue", "green", "red"), ("wood",), ("wall",), ("cupboard", "chest of drawers")),
    Kind("bookshelf", furniture.bookshelf, ("brown", "white", "black"), ("wood",), ("wall",), ("bookcase",), False, ("book",)),
    Kind("plant", furniture.plant, ("green",), ("leaf",), ("floor", "on", "table"), ("potted plant",), False, ("pot",)),
    Kind("television", furniture.television, ("black",), _PLASTIC, ("on",), ("tv", "tv set")),
    Kind("bin", furniture.bin_, ("red", "green", "blue", "gray", "white", "black", "yellow"), _PLASTIC, _ROOM, ("trash can", "waste bin")),
    Kind("pillow", furniture.pillow, ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white"), _FABRIC, ("on",), ("cushion",)),
    Kind("rug", furniture.rug, ("red", "green", "blue", "purple", "gray", "pink", "orange"), _FABRIC, ("floor",), ("carpet",)),
    Kind("suitcase", furniture.suitcase, ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "gray"), _PLASTIC, _ROOM, ("travel case",)),
    Kind("picture", furniture.picture, ("brown", "black", "white", "red", "yellow", "blue"), ("wood",), ("hung",), ("painting",)),
    Kind("ladder", furniture.ladder, ("gray", "yellow", "red", "blue", "orange", "brown"), ("metal",), _ROOM, ("step ladder",)),
    Kind("pot", kitchen.pot, ("red", "orange", "green", "blue", "gray", "white", "black"), ("metal",), _TABLE, ("cooking pot", "saucepan")),
    Kind("kettle", kitchen.kettle, ("red", "green", "blue", "gray", "white", "black", "pink"), ("metal",), _TABLE, ("water kettle",)),
    Kind("toaster", kitchen.toaster, ("red", "yellow", "green", "blue", "gray", "white", "pink"), ("metal",), _TABLE, ("bread toaster",), False, ("bread",)),
    Kind("pitcher", kitchen.pitcher, ("yellow", "green", "blue", "white", "purple", "red", "brown"), _CERAMIC, _TABLE, ("jug", "water jug")),
    Kind("sponge", kitchen.sponge, ("yellow", "pink", "blue", "orange", "purple", "white"), ("rubber",), _TABLE, ("kitchen sponge",)),
    Kind("pineapple", kitchen.pineapple, ("brown", "yellow", "orange"), ("fruit",), _TABLE, ()),
    Kind("cake", kitchen.cake, ("pink", "white", "brown", "green", "yellow", "blue"), ("wax",), _TABLE, ("birthday cake",)),
    Kind("bread", kitchen.bread, ("brown", "orange"), ("wax",), _TABLE, ("loaf", "loaf of bread")),
    Kind("donut", kitchen.donut, ("pink", "brown", "white", "yellow", "blue", "purple"), ("wax",), _TABLE, ("doughnut",)),
    Kind("tray", kitchen.tray, ("brown", "red", "green", "blue", "white", "black", "gray"), _PLASTIC, _TABLE, ("serving tray",)),
    Kind("hammer", hobby.hammer, ("red", "orange", "yellow", "green", "blue", "brown", "black"), _PLASTIC, _TABLE, ()),
    Kind("drill", hobby.drill, ("red", "orange", "yellow", "green", "blue", "gray"), _PLASTIC, _TABLE, ("power drill", "cordless drill"), True),
    Kind("toy car", hobby.toy_car, ("red", "orange", "yellow", "green", "blue", "purple", "white"), _PLASTIC, ("table", "floor"), ("model car",)),
    Kind("hat", hobby.hat, ("red", "green", "blue", "brown", "purple", "gray", "black", "white"), _FABRIC, ("table", "on"), ("sun hat",)),
    Kind("shoe", hobby.shoe, ("red", "orange", "yellow", "green", "blue", "purple", "pink", "gray"), _FABRIC, ("table", "floor"), ("sneaker", "trainer"), True),
    Kind("headphones", hobby.headphones, ("red", "yellow", "green", "blue", "purple", "pink", "white", "black"), _PLASTIC, _TABLE, ("pair of headphones",), True),
    Kind("camera", hobby.camera, ("red", "green", "blue", "gray", "white", "black", "brown"), _PLASTIC, ("table", "on"), ("photo camera",), True),
    Kind("globe", hobby.globe, ("blue", "green", "brown", "purple"), _PLASTIC, ("table", "on"), ("model of the earth",)),
    Kind("trophy", hobby.trophy, ("yellow", "gray", "orange", "blue"), ("metal",), ("table", "on"), ("winner's cup",), True),
    Kind("watering can", hobby.watering_can, ("red", "yellow", "green", "blue", "purple", "pink", "gray"), _PLASTIC, ("table", "floor"), ()),
    Kind("toy robot", hobby.robot_toy, ("red", "orange", "yellow", "green", "blue", "gray", "purple"), ("metal",), ("table", "on"), ("robot figure",), True),
    Kind("backpack", household.backpack, ("red", "orange", "yellow", "green", "blue", "purple", "pink", "gray", "black"), _FABRIC, ("floor", "on"), ("rucksack",), True),
    Kind("bucket", household.bucket, ("red", "orange", "yellow", "green", "blue", "gray", "white"), _PLASTIC, _ROOM, ("pail",)),
    Kind("fan", household.fan, ("white", "blue", "black", "red", "green", "pink"), _PLASTIC, ("table", "floor"), ("electric fan",), True),
    Kind("guitar", household.guitar, ("brown", "orange", "red", "black", "blue", "yellow"), ("wood",), ("floor",), ("acoustic guitar",), True),
    Kind("washing machine", household.washing_machine, ("white", "gray", "black", "blue"), ("metal",), ("wall",), ("washer",)),
    Kind("refrigerator", household.refrigerator, ("white", "gray", "red", "black", "blue", "green"), ("metal",), ("wall",), ("fridge",)),
    Kind("bench", household.bench, ("brown", "white", "green", "red", "blue", "gray"), ("wood",), ("floor", "wall"), ("wooden bench",)),
    Kind("toilet", household.toilet, ("white", "pink", "blue", "green"), _CERAMIC, ("wall",), ("toilet bowl",)),
    Kind("piano", household.piano, ("brown", "black", "white"), ("wood",), ("wall",), ("upright piano",)),
    Kind("traffic cone", household.traffic_cone, ("orange", "yellow", "green", "blue", "red"), _PLASTIC, _ROOM, ("cone",)),
    Kind("drum", household.drum, ("red", "orange", "green", "blue", "purple", "brown", "white"), ("wood",), _ROOM, ("tom drum",)),
)

BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}
KIND_NAMES: tuple[str, ...] = ("background", *BY_NAME)
"""Category index -> name; 0 is background and structure (walls, floor, door, window)."""

_FINISH = {  # material -> how it shines
    "ceramic": dict(specular=0.35, shininess=60), "plastic": dict(specular=0.18, shininess=30),
    "glass": dict(specular=0.55, shininess=90), "metal": dict(specular=0.40, shininess=40),
    "paper": dict(specular=0.03), "fruit": dict(specular=0.15, shininess=25), "cardboard": dict(specular=0.0),
    "wax": dict(specular=0.12, shininess=15), "rubber": dict(specular=0.10, shininess=15), "wicker": dict(specular=0.02),
    "fabric": dict(specular=0.0), "wood": dict(specular=0.08, shininess=20), "leather": dict(specular=0.20, shininess=20),
    "leaf": dict(specular=0.10, shininess=15),
}


def paint(color: str, material: str, rng: np.random.Generator) -> Material:
    """A body material that goes by this colour name."""
    rgb = sample(color, rng)
    body = dict(color=tuple(map(float, rgb)), phase=float(rng.uniform(0, 10)), **_FINISH[material])
    darker = tuple(float(c) for c in rgb * (0.55 if rgb.max() > 0.1 else 2.5))
    if material == "wood" and color in ("brown", "white", "gray"):
        return Material(pattern="wood", second=darker, scale=float(rng.uniform(0.05, 0.10)), axis=0, **body)
    if material == "wicker":
        return Material(pattern="checker", second=darker, scale=float(rng.uniform(0.010, 0.016)), **body)
    if material in ("fabric", "wax", "leather") or (material == "cardboard"):
        if material == "fabric" and rng.random() < 0.2:
            return Material(pattern="stripes", second=darker, scale=float(rng.uniform(0.05, 0.10)), axis=0, **body)
        return Material(pattern="fabric" if material == "fabric" else "plain", **body)
    if material in ("ceramic", "rubber") and rng.random() < 0.3:
        lighter = tuple(float(c) for c in (rgb * 0.35 + 0.5 if rgb.max() < 0.7 else rgb * 0.6))
        pattern = "stripes" if rng.random() < 0.7 else "speckle"
        return Material(pattern=pattern, second=lighter, scale=float(rng.uniform(0.03, 0.06)), **body)
    return Material(**body)


__all__ = ["BY_NAME", "KINDS", "KIND_NAMES", "USES", "Kind", "Use", "paint"]
