"""Why no frame comes, in one sentence per topic: from what was seen on the network to what to do about it. No rclpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lisa_ros.node.traffic import Pairing

CLOCK_SECONDS = 5.0
"""Stamps that differ more than this from the node's clock were not made by it."""

FEWEST = 3
"""Images from which on a missing partner is no accident."""


@dataclass(frozen=True)
class Offer:
    """A publisher of a topic. node: its full name. type: as in "sensor_msgs/msg/Image". durable: transient local."""

    node: str
    type: str
    reliable: bool = True
    durable: bool = False


@dataclass(frozen=True)
class Listening:
    """An input topic: what the node asks for, and what has come of it.

    silence: seconds without a message. count: messages since the node was activated. age: seconds between the stamp of
    the newest message and the node's clock when it came; None while there is none. offers: its publishers.
    similar: other topics of this type that somebody publishes. switch: parameter and value with which the node would
    listen to another coding of the same images, which somebody publishes; empty when nobody does.
    """

    topic: str
    type: str
    reliable: bool = False
    durable: bool = False
    silence: float = 0.0
    count: int = 0
    age: float | None = None
    offers: Sequence[Offer] = ()
    similar: Sequence[str] = ()
    switch: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Situation:
    """One camera's inputs. clock_runs: whether the node's clock has a time at all (a simulated one may not)."""

    color: Listening
    depth: Listening
    camera_info: Listening
    pairing: Pairing
    input_timeout: float
    sync_tolerance: float
    buffer_size: int
    use_sim_time: bool = False
    clock_runs: bool = True


def complaints(situation: Situation) -> dict[str, str]:
    """What is wrong, by topic; empty when all is well."""
    found: dict[str, str] = {}
    for listening in (situation.color, situation.depth, situation.camera_info):
        if listening.silence >= situation.input_timeout:
            found[listening.topic] = _silence(listening)
    color, depth = situation.color.topic, situation.depth.topic
    if depth not in found and color not in found and (complaint := _unpaired(situation)):
        found[depth] = complaint
    if color not in found and (complaint := _clock(situation)):
        found[color] = complaint
    return found


def _silence(listening: Listening) -> str:
    since = f"for {listening.silence:.1f} s" if listening.count else "since the node was activated"
    return f"no message on {listening.topic} {since}: {_cause(listening)}"


def _cause(listening: Listening) -> str:
    if not listening.offers:
        if listening.switch[0]:
            parameter, value = listening.switch
            return f"nobody publishes it, but the same images come in another coding: set {parameter} to {value}"
        if listening.similar:
            return f"nobody publishes it; did you mean to remap from {' or '.join(listening.similar)}?"
        return "nobody publishes it" + (" any more" if listening.count else "")
    misfits = [misfit for offer in listening.offers if (misfit := _misfit(listening, offer))]
    if len(misfits) == len(listening.offers):
        return "; ".join(dict.fromkeys(misfits))
    nodes = ", ".join(dict.fromkeys(offer.node for offer in listening.offers))
    cause = f"{nodes} publishes it, but nothing comes"
    if not listening.count and listening.type == "sensor_msgs/msg/Image":
        cause += " (full-size images need config/fastdds.xml on both sides, see docs/interfaces.md)"
    return cause


def _misfit(listening: Listening, offer: Offer) -> str:
    """Why nothing of this publisher can arrive; empty when it can."""
    if offer.type != listening.type:
        return f"{offer.node} publishes {offer.type} there, not {listening.type}"
    for policy, wanted, offered, strict, lax in (
        ("reliability", listening.reliable, offer.reliable, "reliable", "best_effort"),
        ("durability", listening.durable, offer.durable, "transient_local", "volatile"),
    ):
        if wanted and not offered:
            override = f"qos_overrides.{listening.topic}.subscription.{policy}"
            return f"{offer.node} offers {policy} {lax}, this node asks for {strict}: set {override} to {lax}"
    return ""


def _unpaired(situation: Situation) -> str:
    pairing, tolerance = situation.pairing, situation.sync_tolerance
    if pairing.paired or pairing.colors < FEWEST or situation.depth.count < FEWEST or pairing.gap is None:
        return ""
    where = "behind" if pairing.gap < 0 else "ahead of"
    return (
        f"none of the last {pairing.colors} colour images has a depth image: {situation.depth.topic} is "
        f"{abs(pairing.gap):.3g} s {where} colour; sync_tolerance is {tolerance:g} s. "
        f"Its stamps are shifted, or it comes later than buffer_size ({situation.buffer_size} images) reaches back"
    )


def _clock(situation: Situation) -> str:
    color = situation.color
    if situation.use_sim_time and not situation.clock_runs:
        return "use_sim_time is true, but nobody publishes /clock: ages and transforms are wrong"
    if color.age is None or abs(color.age) <= CLOCK_SECONDS:
        return ""
    what = f"stamps on {color.topic} are {abs(color.age):.3g} s {'older' if color.age > 0 else 'newer'} than this node's clock"
    if situation.use_sim_time:
        return f"{what}: use_sim_time is true here, the camera seems to use another clock"
    return f"{what}: with a bag or a simulation set use_sim_time to true (and play the bag with --clock)"
