"""How people ask: wordings of training and wordings that only the test split uses.

A request is an opening, a verb, what is wanted and a closing, or a whole sentence. The two sets share no verb and no sentence, and so no request.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Wording:
    """One set of wordings. {x} stands for what is wanted without its article, {the} for the same with it ("something to sit on" has none).

    Attributes:
        openings, verbs, closings: parts of a composed request. sentences: whole requests.
        left, right, front, behind, beside, on: relations, before "the ...". near, far: distance from the camera, after the noun.
        colored: a noun and its colour. things: what one calls a thing without naming it. bigger, smaller, taller, shorter: of two or more of a kind.
        both, pair: two targets.
    """

    openings: tuple[str, ...]
    verbs: tuple[str, ...]
    closings: tuple[str, ...]
    sentences: tuple[str, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    front: tuple[str, ...]
    behind: tuple[str, ...]
    beside: tuple[str, ...]
    on: tuple[str, ...]
    leftmost: tuple[str, ...]
    rightmost: tuple[str, ...]
    near: tuple[str, ...]
    far: tuple[str, ...]
    colored: tuple[str, ...]
    things: tuple[str, ...]
    bigger: tuple[str, ...]
    smaller: tuple[str, ...]
    tallest: tuple[str, ...]
    biggest: tuple[str, ...]
    smallest: tuple[str, ...]
    all: tuple[str, ...]
    pair: tuple[str, ...]

    def request(self, wanted: str, rng: np.random.Generator, article: str = "the ") -> str:
        """A request for "red mug" (or, with ``article`` "", for "something to sit on")."""
        if rng.random() < 0.5:
            text = pick(self.sentences, rng)
        else:
            opening = pick(self.openings, rng)
            text = f"{opening}{pick(self.verbs, rng)} {{the}}{pick(self.closings, rng)}"
            text += "?" if opening.startswith(ASKING) else ""
        return text.replace("{the}", article + wanted).replace("{x}", wanted)


ASKING = ("can ", "could ", "would ", "will ", "might ")


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options, each as often."""
    return options[int(rng.integers(len(options)))]


USUAL = Wording(
    openings=("", "", "", "please ", "can you ", "could you ", "would you ", "robot, ", "now ", "I want you to ", "OK, ", "can you please ",
              "could you please ", "would you please ", "could I ask you to ", "I ask you to ", "your task is to ", "your job is to ", "go ahead and ",
              "do me a favour and ", "hello robot, ", "excuse me, please ", "next, ", "just ", "well, ", "all right, ", "come on, ", "you should ",
              "first ", "I wonder if you could ", "listen, ", "you may ", "you must ", "please try to ", "it is your turn to ", "perhaps you can ",
              "maybe you could ", "could you possibly ", "would you please be quick and ", "after that ", "then ", "dear robot, ", "I beg you to ",
              "we ask you to ", "I hope you can ", "say, can you ", "this time ", "again, ", "carefully "),
    verbs=("hand me", "pass me", "bring me", "get me", "fetch", "pick up", "grab", "find", "show me", "point at", "segment", "mark", "select", "look for",
           "take", "point out", "search for", "detect", "identify", "mask", "go to", "drive to", "hand over", "bring over", "pick out", "choose", "touch",
           "look at", "try to find", "tell me where to find", "recognise", "discover", "focus on", "paint over", "draw a mask over", "trace",
           "take hold of", "move to", "turn to", "check on", "seize", "fetch me", "get hold of", "grasp", "grip", "catch", "single out", "carry over",
           "bring us", "pass us", "label", "annotate", "circle", "colour in", "cut out", "isolate", "separate", "extract", "notice", "walk to",
           "approach", "head for", "inspect", "examine", "watch", "name", "tap", "put your hand on", "put a finger on", "lend me", "serve me",
           "track", "follow", "aim at", "pull out", "use", "clean", "rotate", "push", "move", "tidy up"),
    closings=("", "", "", "", " please", " in this picture", " in this image", " for me", " now", ", please", " in this photo", " in this view",
              " in the image", " that you see", " today", " as soon as possible", " when you are ready", " and nothing else", " from here", " for us",
              " quickly", " once more", " with your arm", " before you do anything else", " in this shot", " on this picture", ", would you", ", robot",
              " at once", " somehow"),
    sentences=(*("{the}", "{x}") * 9, "where is {the}?", "where can I find {the}?", "what is {the} in this image?",
               "Can you segment {the} in this image?", "Please segment {the} in this image.", "What is {x} in this image? Please output segmentation mask.",
               "do you see {the}?", "I want {the}", "which one is {the}?", "is {the} here?", "I am looking for {the}", "show me where {the} is",
               "could I have {the}?", "may I have {the}?", "I would like {the}", "I would like to have {the}", "bring {the} to me", "help me find {the}",
               "I cannot find {the}", "I cannot see {the}, can you?", "have you seen {the}?", "can you see {the}?", "do you know where {the} is?",
               "tell me where {the} is", "where might {the} be?", "where would you look for {the}?", "{the}, please", "just {the}, please", "mask of {x}",
               "segmentation mask of {the}, please", "mark {the} in this picture", "Segment {the}.", "go and get {the}", "let me see {the}",
               "it is {the} that I want", "I only want {the}", "how about {the}?", "which of these is {the}?", "what here is {the}?",
               "we are looking for {the}", "is {the} anywhere to be seen?", "{the} must be somewhere", "the next task: {the}", "next we want {the}",
               "I wonder where {the} is", "where has {the} gone?", "where did {the} go?", "who has seen {the}?", "what about {the}?",
               "my friend wants {the}", "she would like {the}", "{the} would be nice", "can I see {the}?", "can I have {the}?", "do we have {the}?",
               "we could use {the}", "I forgot where {the} is", "the target is {the}", "target: {x}", "object: {x}", "this is about {the}",
               "{the} will do", "{the} for me", "now {the}", "and {the}?", "nothing but {the}", "all I want is {the}", "I miss {the}",
               "take me to {the}", "lead me to {the}", "it has to be {the}", "what we want is {the}", "did you notice {the}?", "mask: {the}",
               "does anybody see {the}?", "where does {the} stand?", "where is {the} hiding?", "I require {the}", "I was told to get {the}",
               "there should be {the} somewhere", "tell me about {the}", "how far away is {the}?", "how do I get to {the}?", "watch out for {the}"),
    left=("left of", "to the left of", "on the left side of", "on the left of", "that is left of", "standing left of", "just left of",
          "that you see left of", "at the left of", "more to the left than", "which is to the left of", "leftwards of",
          "somewhere left of", "leftward of"),
    right=("right of", "to the right of", "on the right side of", "on the right of", "that is right of", "standing right of", "just right of",
           "that you see right of", "at the right of", "more to the right than", "which is to the right of", "rightwards of",
           "somewhere right of", "rightward of"),
    front=("in front of", "just in front of", "that is in front of", "directly in front of", "standing in front of", "right in front of"),
    behind=("behind", "just behind", "that is behind", "directly behind", "standing behind", "right behind"),
    beside=("next to", "close to", "near", "right next to", "that is next to", "by", "not far from", "alongside", "standing next to", "that is close to"),
    on=("on", "on top of", "that is on", "sitting on", "placed on", "that was put on", "lying on", "that lies on", "left on", "supported by"),
    leftmost=("on the left", "furthest to the left", "at the left", "on the very left", "all the way to the left", "on the left side", "at the left edge",
              "on the extreme left"),
    rightmost=("on the right", "furthest to the right", "at the right", "on the very right", "all the way to the right", "on the right side",
               "at the right edge", "on the extreme right"),
    near=("closest to the camera", "nearest to us", "closest to us", "closest to you", "least far away", "closest to me", "in the foreground",
          "that is closest", "with the shortest distance", "at the very front", "closest by", "with the shortest way to us",
          "in front of everything else", "that comes first as we look", "least distant from here"),
    far=("furthest from the camera", "furthest away", "farthest from us", "furthest from you", "farthest away", "farthest from me", "in the background",
         "that is furthest away", "with the longest distance", "at the very back", "most remote from us", "with the longest way to us",
         "behind everything else", "that comes last as we look", "deepest in the picture"),
    colored=("{color} {noun}", "{color} {noun}", "{color} {noun}", "{noun} that is {color}", "{noun} which is {color}", "{noun} that looks {color}",
             "{noun}, the {color} one", "{noun} whose colour is {color}", "{color} painted {noun}", "{noun} with a {color} surface",
             "{color}, {color} {noun}", "{color} looking {noun}", "{noun} that somebody painted {color}", "{noun} of the colour {color}",
             "{noun}, {color},", "{noun} ({color})"),
    things=("thing", "object", "one", "thingy", "article", "piece", "entity", "unit", "belonging", "whatsit", "household thing", "bit of stuff"),
    bigger=("bigger", "larger", "bulkier", "more voluminous", "more spacious", "fatter", "more sizeable", "more substantial", "heftier", "chunkier",
            "more enormous", "roomier", "greater"),
    smaller=("smaller", "less bulky", "littler", "more compact", "less big", "less large", "more petite", "more diminutive", "more minute",
             "less voluminous", "less hefty", "teenier", "less sizeable"),
    tallest=("tallest", "very tallest", "most towering", "loftiest", "most lofty", "most soaring", "overall tallest", "most sky-high", "most elevated",
             "by far tallest"),
    biggest=("biggest", "largest", "bulkiest", "hugest", "most voluminous", "very biggest", "most sizeable", "most enormous", "most gigantic",
             "heftiest", "chunkiest", "greatest", "most colossal", "overall largest"),
    smallest=("smallest", "littlest", "least bulky", "most compact", "least big", "very smallest", "most petite", "most diminutive", "most minute",
              "teeniest", "least voluminous", "most miniature", "least sizeable", "overall smallest"),
    all=("all the {nouns}", "every {noun}", "all {nouns}", "every single {noun}", "all of the {nouns}", "all those {nouns}", "the {nouns}",
         "every one of the {nouns}", "all {nouns} in view", "any {noun} there is", "all the {nouns} you can see", "not one {noun} less than all",
         "the {nouns}, all of them", "all {nouns} together", "the {nouns}, every one"),
    pair=("{a} and the {b}", "{a} and also the {b}", "{a} plus the {b}", "{a}, and the {b}", "{a}, then the {b}", "{a}, also the {b}",
          "{a} & the {b}", "{a} along with the {b}", "{a} and after that the {b}", "{a}, in addition the {b}", "{a} and, too, the {b}",
          "two things, the {a} and the {b}"),
)
UNSEEN = Wording(
    openings=("", "", "hey, ", "kindly ", "will you ", "might you ", "I'd like you to ", "time to ", "quick, ", "be so good and "),
    verbs=("give me", "reach for", "locate", "outline", "highlight", "collect", "deliver", "lift", "retrieve", "spot", "indicate", "hold up"),
    closings=("", "", "", " if you can", " right away", " in the scene", " over there", ", thank you"),
    sentences=("I need {the}", "give me {the} please", "could you get {the} for me?", "locate {the}", "let me have {the}", "any sign of {the}?",
               "{the} is what I am after", "where did I leave {the}?", "my hand should hold {the}", "outline {the}, please", "which pixels show {the}?",
               "I am after {the}", "someone asked for {the}"),
    left=("on the left-hand side of", "further left than"),
    right=("on the right-hand side of", "further right than"),
    front=("that stands before",),
    behind=("at the back of",),
    beside=("beside", "right beside"),
    on=("resting on", "that stands on"),
    leftmost=("at the far left", "at the left-hand side"),
    rightmost=("at the far right", "at the right-hand side"),
    near=("nearest to the lens", "that is nearest"),
    far=("most distant from the lens", "that is most distant"),
    colored=("{noun} of {color} colour", "{noun} in {color}", "{color} coloured {noun}"),
    things=("item",),
    bigger=("more massive", "big"),
    smaller=("tinier", "small"),
    tallest=("highest",),
    biggest=("most massive",),
    smallest=("tiniest",),
    all=("each {noun}", "the whole set of {nouns}"),
    pair=("{a} together with the {b}", "{a} as well as the {b}"),
)
