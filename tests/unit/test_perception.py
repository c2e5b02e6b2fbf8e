"""perceive: status, pixels and points of each instance. Only the engine is faked."""

import time

import numpy as np
import pytest

from lisa_ros.engine import Segmentation
from lisa_ros.geometry import Camera, Frame
from lisa_ros.perception import Status, perceive

CAMERA = Camera(100.0, 100.0, 31.5, 23.5, 64, 48)


class FixedEngine:
    """Answers every query with the same masks."""

    def __init__(self, *masks):
        self.masks, self.encoded = np.array(masks, bool).reshape(-1, 48, 64), 0

    def encode(self, image):
        self.encoded += 1
        return image

    def ask(self, encoded, queries, mode="mask", **options):
        scores = np.full(len(self.masks), 0.9, np.float32)
        return [Segmentation(q, "[SEG].", 0.8, self.masks, scores, [], [], {"language": 0.1}) for q in queries]


def square():
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:40] = True
    return mask


def frame(depth=1.0, camera=CAMERA):
    image = np.zeros((48, 64, 3), np.uint8)
    return Frame(color=image, camera=camera, depth=None if depth is None else np.full((48, 64), depth, np.float32))


def test_found_and_lifted():
    perception = perceive(FixedEngine(square()), frame(), ["it"])[0]
    assert perception.status is Status.FOUND and perception.query == "it"
    instance = perception.instances[0]
    assert instance.box_2d == (20, 10, 40, 30) and instance.pixel_count == 400
    assert instance.status_3d == "LIFTED"
    np.testing.assert_allclose(instance.centroid, [-0.02, -0.04, 1.0], atol=0.006)
    assert sorted(instance.box.size)[1:] == pytest.approx([0.19, 0.19], abs=0.03)
    assert {"encode", "language", "lift", "total"} <= set(perception.seconds)


@pytest.mark.parametrize(
    ("where", "says"),
    [(frame(depth=None), "no depth image"), (frame(depth=0.0), "no pixel"), (frame(depth=np.nan), "no pixel"), (frame(camera=None), "camera info")],
)
def test_without_depth_the_mask_still_counts(where, says):
    perception = perceive(FixedEngine(square()), where, ["it"])[0]
    assert perception.status is Status.NO_DEPTH and says in perception.message
    assert perception.instances[0].pixel_count == 400 and perception.instances[0].cloud is None


def test_few_points_carry_no_box():
    depth = np.zeros((48, 64), np.float32)
    depth[15, 25:28] = 1.0
    one = frame()
    one.depth = depth
    perception = perceive(FixedEngine(square()), one, ["it"])[0]
    instance = perception.instances[0]
    assert instance.status_3d == "TOO_FEW_POINTS" and instance.box is None
    assert perception.status is Status.FOUND


@pytest.mark.parametrize("masks", [(), (np.zeros((48, 64), bool),)], ids=["no instance", "empty mask"])
def test_nothing_found(masks):
    perception = perceive(FixedEngine(*masks), frame(), ["it"])[0]
    assert perception.status is Status.NOT_FOUND and perception.instances == []


def test_an_encoded_frame_is_not_encoded_again():
    engine = FixedEngine(square())
    one = frame()
    perceptions = perceive(engine, one, ["a", "b"], encoded=engine.encode(one.color))
    assert engine.encoded == 1
    assert [p.query for p in perceptions] == ["a", "b"]
    assert perceptions[0].seconds["encode"] == 0.0


def test_encoding_that_goes_on_while_the_queries_are_read_counts_as_encoding():
    """As on a GPU: ``encode`` returns at once, ``ask`` waits for it, and its stages say only what they took themselves."""

    class Deferred(FixedEngine):
        def ask(self, encoded, queries, mode="mask", **options):
            time.sleep(0.15)
            return [
                Segmentation(q, "[SEG].", 0.8, self.masks, np.ones(1, np.float32), [], [], {"language": 0.05})
                for q in queries
            ]

    seconds = perceive(Deferred(square()), frame(), ["it"])[0].seconds
    assert seconds["encode"] >= 0.1
    assert seconds["encode"] + seconds["language"] + seconds["lift"] <= seconds["total"] + 1e-6


def two_squares():
    """A mask of two squares, and a frame in which they are at different depths before a wall; the right one is larger."""
    mask, one = np.zeros((48, 64), bool), frame(depth=3.0)
    mask[16:31, 5:20] = mask[12:34, 36:58] = True
    one.depth[16:31, 5:20], one.depth[12:34, 36:58] = 1.0, 1.0
    return mask, one


def test_split_by_cluster_gives_one_instance_per_object_the_largest_first():
    mask, one = two_squares()
    whole = perceive(FixedEngine(mask), one, ["them"])[0]
    assert len(whole.instances) == 1
    perception = perceive(FixedEngine(mask), one, ["them"], split="cluster")[0]
    assert [instance.box_2d for instance in perception.instances] == [(36, 12, 58, 34), (5, 16, 20, 31)]
    assert (sum(instance.mask for instance in perception.instances) == mask).all()
    for instance, across in zip(perception.instances, (0.22, 0.15)):
        assert instance.mask_score == pytest.approx(0.9) and instance.status_3d == "LIFTED"
        assert instance.pixel_count == instance.mask.sum() and instance.box.size[0] == pytest.approx(across, abs=0.03)
    assert perception.instances[1].centroid[0] < 0 < perception.instances[0].centroid[0]


@pytest.mark.parametrize("where", [frame(depth=None), frame(camera=None), frame(depth=0.0)])
def test_what_cannot_be_told_apart_is_not_split(where):
    mask, _ = two_squares()
    (instance,) = perceive(FixedEngine(mask), where, ["them"], split="cluster")[0].instances
    assert (instance.mask == mask).all()


def test_split_keeps_the_instances_of_the_model_apart_and_obeys_the_depth_limits():
    mask, one = two_squares()
    one.depth[mask & (np.arange(64) < 30)] = 2.0
    wall = np.zeros((48, 64), bool)
    wall[10:30, 22:34] = True
    instances = perceive(FixedEngine(wall, mask), one, ["them"], split="cluster")[0].instances
    assert len(instances) == 3 and (instances[0].mask == wall).all()
    limited = perceive(FixedEngine(mask), one, ["them"], split="cluster", lift_options={"max_depth": 1.5})[0].instances
    assert len(limited) == 1 and limited[0].status_3d == "LIFTED"


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="seg, cluster"):
        perceive(FixedEngine(square()), frame(), ["it"], split="both")
