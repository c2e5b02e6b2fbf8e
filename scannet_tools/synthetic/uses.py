"""What things are for, in words that name no kind."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """What somebody wants.

    Attributes:
        phrases: wordings for training; ``unseen``: wordings that only the test split asks.
        kinds: all that serve. blockers: kinds that might serve, so that the question is not asked when one is in view.
        absent: the answer when nothing serves.
    """

    phrases: tuple[str, ...]
    unseen: tuple[str, ...]
    kinds: tuple[str, ...]
    blockers: tuple[str, ...]
    absent: str


USES: tuple[Use, ...] = (
    Use(("something to sit on", "where can I sit down?", "my legs are tired", "a seat for me"), ("I would like to sit", "find me a place to sit"),
        ("chair", "stool", "armchair", "sofa"), ("bed",), "There is nothing to sit on here."),
    Use(("the thing I can drink from", "something to drink from", "I am thirsty"), ("I need a drink", "what can I drink out of?"),
        ("mug", "wine glass", "bottle", "can"), ("teapot", "bowl"), "There is nothing to drink from here."),
    Use(("I want to read something", "something to read", "I am bored and like stories"), ("give me something I can read",),
        ("book",), ("phone", "laptop", "bookshelf"), "There is nothing to read here."),
    Use(("I am hungry", "something to eat", "a healthy snack"), ("what could I eat?",), ("banana", "apple"), (), "There is nothing to eat here."),
    Use(("something that gives light", "it is too dark here", "I need light"), ("brighten the room",), ("lamp", "candle"), ("television", "laptop"),
        "There is nothing that gives light here."),
    Use(("something to cut paper with", "I have to cut a string"), ("a tool for cutting",), ("scissors",), (), "There is nothing to cut with here."),
    Use(("what time is it?", "something that tells the time"), ("I do not know how late it is",), ("clock",), ("phone", "laptop"),
        "There is nothing that tells the time here."),
    Use(("where can I sleep?", "something to sleep in", "I am tired and go to sleep"), ("I want to lie down for the night",), ("bed",), ("sofa",),
        "There is nothing to sleep in here."),
    Use(("something to fry eggs in", "I want to fry an egg"), ("what do I cook a pancake in?",), ("pan",), (), "There is nothing to fry in here."),
    Use(("something to type with", "I have to write a letter on a computer"), ("where do I type?",), ("keyboard", "laptop"), ("phone",),
        "There is nothing to type with here."),
    Use(("I have to call somebody", "something to make a call with"), ("I must ring my mother",), ("phone",), ("laptop",),
        "There is nothing to make a call with here."),
    Use(("something to throw and catch", "I want to play football"), ("a thing that bounces",), ("ball",), (), "There is nothing to throw and catch here."),
    Use(("where do I throw the rubbish?", "something to put waste in"), ("I want to get rid of this wrapper",), ("bin",), ("basket", "box"),
        "There is nothing to put waste in here."),
    Use(("I want to pour tea", "something to make tea in"), ("what holds the hot tea?",), ("teapot",), (), "There is nothing to make tea in here."),
    Use(("I want to eat soup", "something to put soup in"), ("what do I serve soup in?",), ("bowl",), ("pan", "plate", "mug"),
        "There is nothing to put soup in here."),
    Use(("I want to watch the news", "something to watch a film on"), ("let us see a movie",), ("television",), ("laptop", "phone"),
        "There is nothing to watch a film on here."),
    Use(("I am going to travel", "something to pack my clothes in for a trip"), ("what do I take on holiday?",), ("suitcase",), ("basket", "box"),
        "There is nothing to travel with here."),
    Use(("I have to reach the ceiling", "something to climb up"), ("how do I get up there?",), ("ladder",), ("chair", "stool"),
        "There is nothing to climb up here."),
    Use(("something to put flowers in", "I have some cut flowers"), ("the roses need water",), ("vase",), ("bottle", "mug", "wine glass", "can"),
        "There is nothing to put flowers in here."),
)
