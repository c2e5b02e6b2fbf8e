"""What the things in a scan are for, in words that do not name them.

(`scannet_tools.synthetic.uses` has the kinds that our own scenes are made of; here are ScanNet's categories.)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScanUse:
    """What somebody wants.

    phrases: wordings, which also stand when nothing serves. serves: nouns, categories or raw categories of all that
    does. doubtful: of what might: the question is not asked where one is, even if something serves as well.
    big: all that serves is large and always annotated, so that nothing annotated means nothing there.
    """

    phrases: tuple[str, ...]
    serves: frozenset[str]
    doubtful: frozenset[str] = frozenset()
    big: bool = False


def _use(phrases: tuple[str, ...], serves: str, doubtful: str = "", *, big: bool = False) -> ScanUse:
    """serves, doubtful: names with commas between them."""
    return ScanUse(phrases, _names(serves), _names(doubtful), big)


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.split(","))))


USES = (
    _use(
        ("something to sit on", "a place where I can sit down", "my legs are tired, I want to sit"),
        "chair, sofa, stool, bench, piano bench, seat, beanbag chair",
        "bed, ottoman, footstool, footrest, step stool, futon, toilet, stairs, crib, pillow, luggage, chest",
        big=True,
    ),
    _use(
        ("something to sleep in", "a place to lie down for the night"),
        "bed, bunk bed",
        "sofa, futon, crib, beanbag chair, sofa bed, bench, headboard, bedframe",
        big=True,
    ),
    _use(
        ("something that keeps food cold", "where the milk is kept cool"),
        "refrigerator",
        "cooler, vending machine, water cooler",
        big=True,
    ),
    _use(
        ("something to take a bath in", "where I can lie in hot water"),
        "bathtub",
        "shower, shower door, shower head",
        big=True,
    ),
    _use(("nature calls, where do I go?",), "toilet", "urinal", big=True),
    _use(
        ("something to write on for the whole class", "where the teacher writes for all to see"),
        "whiteboard, blackboard",
        "board, bulletin board, projector screen, sign, paper, picture",
        big=True,
    ),
    _use(
        ("something that washes shirts", "the machine for dirty laundry"),
        "washing machine",
        "clothes dryer, dishwasher, sink, bathtub, laundry hamper",
        big=True,
    ),
    _use(
        ("something to make music with", "an instrument that I can play"),
        "piano, guitar, keyboard piano, drum set",
        "guitar case, instrument case, case, speaker, music stand, keyboard",
        big=True,
    ),
    _use(
        ("something to ride to work on", "a vehicle with two wheels"),
        "bicycle",
        "exercise bike, scooter, cart, skateboard, stroller",
        big=True,
    ),
    _use(
        ("something to wash my hands in", "where I can rinse a cup"),
        "sink",
        "bathtub, shower, bathroom vanity, bathroom counter, kitchen counter, water fountain",
    ),
    _use(
        ("something to throw rubbish into", "where I can get rid of this wrapper"),
        "trash can, trash bin, recycling bin, compost bin",
        "bin, bucket, basket, box, storage bin, container, trash bag, garbage bag, bag, laundry hamper, "
        "laundry basket, trash cabinet",
    ),
    _use(("something in which I can see my face", "I want to check my hair"), "mirror", "mirror door, shower door"),
    _use(
        ("something to see by at night", "it is too dark here, what do I switch on?"),
        "lamp, light, ceiling light, desk lamp, chandelier, studio light",
        "light switch, television, monitor, candle, projector, fan, ceiling fan",
    ),
    _use(
        ("something to watch a film on", "I want to watch the news"),
        "television",
        "monitor, laptop, projector, projector screen, computer tower",
    ),
    _use(("something that puts a document on paper",), "printer, copier", "machine, computer tower, typewriter"),
    _use(
        ("something to dry myself with after a shower",),
        "towel",
        "paper towel roll, hair dryer, blanket, clothes, cloth, mat",
    ),
    _use(
        ("something that keeps the sun out of the room", "the sun is in my eyes, what can I draw?"),
        "curtain, blinds",
        "shower curtain",
    ),
    _use(
        ("something to warm up soup in a minute",),
        "microwave",
        "stove, oven, toaster oven, stovetop, coffee kettle, pan, pot, fireplace",
    ),
    _use(
        ("something that makes hot coffee",),
        "coffee maker",
        "coffee kettle, machine, water cooler, teapot, vending machine",
    ),
    _use(("something soft to rest my head on",), "pillow", "stuffed animal, blanket, bag, sofa, clothes"),
    _use(
        ("something to type a letter with",), "keyboard, laptop", "keyboard piano, typewriter, telephone, phone, piano"
    ),
    _use(("something to make a call with", "I have to ring my mother"), "telephone, phone", "laptop, computer tower"),
    _use(
        ("something to climb up to reach the ceiling",),
        "ladder, folded ladder, stepladder",
        "step stool, stool, chair, stairs, table, desk",
    ),
    _use(
        ("something to read",),
        "book, music book, magazine, newspaper",
        "paper, folder, cd case, laptop, phone, bookshelf, calendar, poster",
    ),
    _use(("something to pack for a long trip",), "suitcase, luggage", "backpack, bag, box, purse, basket"),
    _use(
        ("something to drink from", "I am thirsty, what do I take to my mouth?"),
        "cup, mug, bottle, water bottle, wine glass, can",
        "bowl, glass, water pitcher, teapot, vase, jar, case of water bottles, water fountain, sink, laundry detergent",
    ),
    _use(("something to eat that grew on a tree",), "banana, apple", "plant, fruit, food, bowl"),
    _use(
        ("something that tells the time",),
        "clock, alarm clock",
        "telephone, phone, laptop, monitor, television, microwave, oven, calendar",
    ),
    _use(("something to put out a fire",), "fire extinguisher", "bucket, water bottle, blanket, sink"),
    _use(
        ("something that warms a room in winter",),
        "radiator, heater, fireplace",
        "fan, vent, oven, stove, candle, blanket, furnace",
    ),
    _use(
        ("something to clean the floor with",), "vacuum cleaner, broom, mop, swiffer", "dustpan, towel, bucket, machine"
    ),
    _use(("something to cut paper with",), "scissors, paper cutter", "knife"),
    _use(("something to put cut flowers in",), "vase", "bottle, cup, mug, jar, plant, wine glass, can, bowl, bucket"),
    _use(("something to throw and catch",), "ball", "stuffed animal, apple, pillow, dumbbell"),
    _use(("something to fry an egg in",), "pan", "pot, bowl, stove"),
)
