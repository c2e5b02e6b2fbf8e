"""What goes out: layouts of messages, without a network."""

from __future__ import annotations

import array

import numpy as np
import pytest
from lisa_ros.msg import SegmentedInstance
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from lisa_ros.geometry import Cloud, oriented_box
from lisa_ros.node import conversions, messages
from lisa_ros.perception import PerceivedInstance, Perception, Status

RNG = np.random.default_rng(3)


def instance(center, status_3d: str = "LIFTED") -> PerceivedInstance:
    """A block of 0.4 x 0.2 x 0.1 m along the axes; without a box unless LIFTED."""
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:11] = True
    points = (RNG.random((500, 3)) - 0.5) * (0.4, 0.2, 0.1) + center
    one = PerceivedInstance(mask, 0.75, int(mask.sum()), (4, 2, 11, 5), status_3d)
    if status_3d == "LIFTED":
        one.cloud = Cloud(points.astype(np.float32), np.zeros((500, 3), np.uint8))
        one.centroid, one.box = points.mean(axis=0), oriented_box(points)
    return one


def perception(*instances: PerceivedInstance) -> Perception:
    return Perception("the mug", "Sure, [SEG].", Status.FOUND, "", 0.625, list(instances))


def test_cloud_layout_and_no_empty_or_nan_cloud():
    points = np.array([[1, 2, 3], [4, 5, 6], [np.nan, 0, 1]], np.float32)
    colors = np.array([[10, 20, 30], [255, 0, 1], [0, 0, 0]], np.uint8)
    cloud = messages.to_cloud(Header(frame_id="f"), [Cloud(points[:1], colors[:1]), Cloud(points[1:], colors[1:])])
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 16, 32) and cloud.is_dense
    assert isinstance(cloud.data, array.array)
    assert np.array_equal(np.frombuffer(cloud.data, "<f4").reshape(2, 4)[:, :3], points[:2])
    assert np.array_equal(np.frombuffer(cloud.data, np.uint8).reshape(2, 16)[:, 12:15], colors[:2, ::-1])
    assert messages.to_cloud(Header(), []) is None
    assert messages.to_cloud(Header(), [Cloud.empty(), Cloud(points[2:], colors[2:])]) is None


def test_masks_and_instances():
    a, b = np.zeros((2, 4, 6), bool)
    a[:2, :2], b[2:, 3:] = True, True
    assert np.array_equal(
        conversions.image_array(messages.to_mask(Header(), [a, b], (4, 6))), np.where(a | b, 255, 0)
    )
    assert np.array_equal(conversions.image_array(messages.to_instances(Header(), [a, b], (4, 6))), a + 2 * b)
    assert not any(messages.to_mask(Header(), [], (4, 6)).data)


def test_scene_has_a_label_at_every_point_that_stays():
    points = np.array([[1, 2, 3], [np.inf, 0, 1], [4, 5, 6]], np.float32)
    colors = np.array([[10, 20, 30], [0, 0, 0], [255, 0, 1]], np.uint8)
    labels = np.array([0, 7, 65535], np.uint32)
    scene = messages.to_scene(Header(frame_id="f"), Cloud(points, colors), labels)
    assert (scene.height, scene.width, scene.point_step, scene.row_step) == (1, 2, 20, 40) and scene.is_dense
    assert [(f.name, f.offset, f.datatype, f.count) for f in scene.fields] == [
        ("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("rgb", 12, 7, 1), ("label", 16, 6, 1)
    ]  # 7 = FLOAT32, 6 = UINT32
    words = np.frombuffer(scene.data, np.uint8).reshape(2, 20)
    assert np.array_equal(words[:, :12].view("<f4"), points[[0, 2]])
    assert np.array_equal(words[:, 12:16], [[30, 20, 10, 0], [1, 0, 255, 0]])
    assert np.array_equal(words[:, 16:].view("<u4").ravel(), [0, 65535])
    assert messages.to_scene(Header(), Cloud.empty(), np.zeros(0, np.uint32)) is None


def test_result_has_every_instance_and_3d_only_of_the_lifted():
    lifted, flat = instance((0.1, 0.2, 1.0)), instance((0, 0, 0), "TOO_FEW_POINTS")
    result = messages.to_result(perception(lifted, flat), [("wait", 0.5), ("lift", 0.25)])
    assert (result.query, result.answer, result.status) == ("the mug", "Sure, [SEG].", 0)
    assert result.target_probability == 0.625 and [one.id for one in result.instances] == [1, 2]
    assert [(stage.stage, stage.seconds) for stage in result.stages] == [("wait", 0.5), ("lift", 0.25)]
    first, second = result.instances
    region = first.box_2d
    assert (region.x_offset, region.y_offset, region.width, region.height) == (4, 2, 7, 3)
    assert (first.status_3d, first.point_count, first.pixel_count) == (SegmentedInstance.LIFTED, 500, 21)
    size, center = first.box_size, first.box_pose.position
    assert (size.x, size.y, size.z) == pytest.approx((0.4, 0.2, 0.1), abs=0.02)
    assert (center.x, center.y, center.z) == pytest.approx((0.1, 0.2, 1.0), abs=0.02)
    assert second.status_3d == SegmentedInstance.TOO_FEW_POINTS
    assert second.box_size.x == second.point_count == second.centroid.z == 0


def test_markers_take_the_place_of_those_before_and_lie_in_the_frame_of_the_boxes():
    header = Header(frame_id="base_link")
    one = [instance((0, 0, 1), "NO_DEPTH"), instance((0.1, 0.2, 1.0))]
    markers = messages.to_markers(header, one, "the mug").markers
    assert markers[0].action == Marker.DELETEALL and {marker.header.frame_id for marker in markers} == {"base_link"}
    box, label = markers[1:]
    assert box.type == Marker.CUBE and box.id == 2 and box.scale.x == pytest.approx(0.4, abs=0.02)
    assert label.type == Marker.TEXT_VIEW_FACING and label.text == "the mug"
    assert len(messages.to_markers(header, [], "").markers) == 1


def test_detections_are_the_boxes_of_the_lifted_instances():
    pytest.importorskip("vision_msgs", reason="vision_msgs is not installed")
    header = Header(frame_id="base_link", stamp=conversions.to_stamp(12_000_000_034))
    lifted = instance((0.1, 0.2, 1.0))
    message = messages.to_detections(header, perception(instance((0, 0, 0), "NO_DEPTH"), lifted))
    assert message.header == header
    (detection,) = message.detections
    assert detection.header == header and detection.id == "2"  # the id in ~/instances and the result
    (hypothesis,) = detection.results
    assert (hypothesis.hypothesis.class_id, hypothesis.hypothesis.score) == ("the mug", 0.625)
    wanted = messages.to_instance(2, lifted)
    assert detection.bbox.center == hypothesis.pose.pose == wanted.box_pose and detection.bbox.size == wanted.box_size
    assert messages.to_detections(header, perception()).detections == []
