"""The outputs as planners read them: every message is serialized, and decoded here the way the planner's own code does
it, on a scene of which the right answer is known. Only the model is faked.
"""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import rclpy
from analytic_scene import BOX, FLOOR, SPHERE, WALL, make_scene
from lisa_ros.msg import SegmentationResult
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from scipy.spatial import cKDTree
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from lisa_ros.engine.segmentation import Segmentation
from lisa_ros.geometry import Frame, background, scene
from lisa_ros.node import conversions, messages
from lisa_ros.node.publishers import Outputs, Publishers, ResultPublisher
from lisa_ros.perception import perceive

VIEW = make_scene(3, distance=1.0)
TARGETS = [VIEW.label == SPHERE, VIEW.label == BOX]
HEADER = Header(frame_id="camera_color_optical_frame", stamp=conversions.to_stamp(1_700_000_000_123_456_789))
MARGIN = 0.03


class TrueEngine:
    """Answers with the true masks."""

    def encode(self, image):
        return image

    def ask(self, encoded, queries, mode="mask", **options):
        return [Segmentation(query, "[SEG].", 0.9, np.array(TARGETS), np.ones(2), [], [], {}) for query in queries]


FRAME = Frame(VIEW.color, VIEW.camera, VIEW.depth, frame_id=HEADER.frame_id)
INSTANCES = perceive(TrueEngine(), FRAME, ["the things on the floor"])[0].instances
TRUE = VIEW.camera.back_project(VIEW.depth_true)


def sent(message):
    """A message as another process gets it."""
    return deserialize_message(serialize_message(message), type(message))


def points() -> PointCloud2:
    return sent(messages.to_cloud(HEADER, [instance.cloud for instance in INSTANCES]))


def labelled() -> PointCloud2:
    return sent(messages.to_scene(HEADER, *scene(TARGETS, FRAME.depth, FRAME.camera, FRAME.color)))


def octomap() -> PointCloud2:
    return sent(messages.to_cloud(HEADER, [background(TARGETS, FRAME.depth, FRAME.camera, FRAME.color, margin=MARGIN)]))


CLOUDS = pytest.mark.parametrize("cloud", [points, labelled, octomap])


def read_by_name(cloud: PointCloud2, *names: str) -> dict[str, np.ndarray]:
    """The PCL way (fromROSMsg): every field by its name, type and count, point_step and row_step apart."""
    kinds = {PointField.FLOAT32: "f4", PointField.UINT32: "u4"}
    order = ">" if cloud.is_bigendian else "<"
    fields = {field.name: field for field in cloud.fields}
    data = np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.row_step)
    data = data[:, : cloud.width * cloud.point_step].reshape(-1, cloud.point_step)
    values = {}
    for name in names:
        field = fields[name]
        assert field.count == 1
        here = np.ascontiguousarray(data[:, field.offset : field.offset + 4])
        values[name] = here.view(order + kinds[field.datatype]).ravel()
    return values


def xyz(cloud: PointCloud2) -> np.ndarray:
    return np.stack(list(read_by_name(cloud, "x", "y", "z").values()), axis=1)


def pixels(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the image that points in the optical frame are seen at."""
    columns, rows = np.rint(FRAME.camera.project(found)).astype(int).T
    return rows, columns


@CLOUDS
def test_anygrasp_reads_width_points_at_fixed_offsets(cloud):
    """AnyGrasp-ROS: num_points = width; x y z rgb unpacked at 0 4 8 12 of every point_step, point by point."""
    cloud = cloud()
    found, colors = np.empty((cloud.width, 3)), np.empty((cloud.width, 3), int)
    data = bytes(cloud.data)
    for number in range(cloud.width):
        x, y, z, rgb = struct.unpack_from("fffI", data, number * cloud.point_step)
        found[number], colors[number] = (x, y, z), (rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255)
        assert rgb >> 24 == 0
    assert cloud.height == 1 and len(data) == cloud.width * cloud.point_step
    assert np.isfinite(found).all() and (found[:, 2] > 0).all()
    assert (colors == VIEW.color[pixels(found)]).mean() > 0.999


@CLOUDS
def test_pcl_reads_fields_by_name(cloud):
    cloud = cloud()
    assert cloud.is_dense and not cloud.is_bigendian and cloud.header == HEADER
    assert cloud.row_step == cloud.width * cloud.point_step == len(cloud.data) // cloud.height
    values = read_by_name(cloud, "x", "y", "z", "rgb")
    assert all(len(value) == cloud.width for value in values.values())
    color = values["rgb"].view(np.uint8).reshape(-1, 4)  # pcl::PointXYZRGB: b g r a
    assert (color[:, 2::-1] == VIEW.color[pixels(xyz(cloud))]).mean() > 0.999
    assert not color[:, 3].any()


def test_target_points_are_the_target():
    found = xyz(points())
    true = TRUE[TARGETS[0] | TARGETS[1]]
    assert (cKDTree(true).query(found)[0] < 0.02).mean() >= 0.97
    assert (cKDTree(found).query(true)[0] < 0.02).mean() >= 0.90


def test_gpd_gets_points_before_the_camera_as_seen_from_its_origin():
    """GPD-ROS2 voxelises before it drops NaN, and takes the view point to be the origin of the cloud's frame."""
    for cloud in (points(), labelled()):
        found = xyz(cloud)
        assert np.isfinite(found).all() and (found[:, 2] > 0.1).all()
        # seen from the origin means: no two points in one pixel
        rows, columns = pixels(found)
        assert len(np.unique(rows * FRAME.camera.width + columns)) > 0.999 * len(found)


def test_contact_graspnet_gets_a_mask_parallel_to_the_points():
    """Its service wants float32[] points of the whole scene and a uint32[] mask of the same length."""
    cloud = labelled()
    found, labels = xyz(cloud), read_by_name(cloud, "label")["label"]
    assert labels.dtype == np.dtype("<u4") and len(labels) == len(found) == np.count_nonzero(FRAME.depth)
    assert set(labels) == {0, 1, 2}
    for number, instance in enumerate(INSTANCES, start=1):
        assert np.array_equal(found[labels == number], instance.cloud.points)
    rest = VIEW.label[pixels(found[labels == 0])]
    assert {WALL, FLOOR} <= set(rest) and np.isin(rest, (SPHERE, BOX)).mean() < 0.01


def test_moveit_clears_the_target_and_keeps_everything_else():
    """Its octomap updater skips NaN, casts rays from the origin of header.frame_id at header.stamp, and fills the
    voxels that points lie in.
    """
    cloud = octomap()
    assert cloud.header == HEADER and cloud.width * cloud.height > 0
    found = xyz(cloud)
    assert np.isfinite(found).all()
    target = cKDTree(TRUE[TARGETS[0] | TARGETS[1]])
    assert target.query(found)[0].min() > MARGIN - 0.01  # 1 cm of the sensor's noise
    rays = found / found[:, 2:]
    ahead = FRAME.camera.project(rays)
    assert (ahead >= -0.5).all() and (ahead <= (639.5, 479.5)).all()  # the sensor is at the origin
    for label in (WALL, FLOOR):
        surface = TRUE[VIEW.label == label]
        away = surface[target.query(surface)[0] > 0.07]
        assert (cKDTree(found).query(away)[0] < 0.04).mean() > 0.99


def test_nvblox_gets_a_mask_with_a_camera_info_of_its_own():
    """mono8 only; matched with the colour image by its exact stamp, and with its camera_info pixel by pixel."""
    info = sent(messages.to_camera_info(HEADER, FRAME.camera))
    mask = sent(messages.to_mask(HEADER, [instance.mask for instance in INSTANCES], FRAME.color.shape[:2]))
    assert mask.encoding == "mono8" and mask.header == info.header == HEADER
    assert (mask.width, mask.height) == (info.width, info.height) == (640, 480)
    assert mask.step == mask.width and len(mask.data) == mask.step * mask.height
    values = np.array(mask.data, np.uint8).reshape(mask.height, mask.step)
    assert set(values.ravel()) == {0, 255} and ((values == 255) == TARGETS[0] | TARGETS[1]).all()
    assert info.k[0] == FRAME.camera.fx and info.k[2] == FRAME.camera.cx


def test_detections_give_boxes_around_the_true_objects():
    pytest.importorskip("vision_msgs", reason="vision_msgs is not installed")
    perception = perceive(TrueEngine(), FRAME, ["the things on the floor"])[0]
    message = sent(messages.to_detections(HEADER, perception))
    assert message.header == HEADER and [one.id for one in message.detections] == ["1", "2"]
    for detection, mask in zip(message.detections, TARGETS):
        box = detection.bbox
        center = np.array([box.center.position.x, box.center.position.y, box.center.position.z])
        diagonal = math.hypot(box.size.x, box.size.y, box.size.z)
        assert (np.linalg.norm(TRUE[mask] - center, axis=1) < 0.6 * diagonal).all()
        turned = detection.results[0].pose.pose.orientation
        assert math.hypot(turned.x, turned.y, turned.z, turned.w) == pytest.approx(1.0)
        assert detection.results[0].hypothesis.class_id == "the things on the floor"
        assert detection.results[0].hypothesis.score == pytest.approx(0.9)


def test_nothing_found_sends_no_cloud():
    """PointCloud2Iterator reads the first byte of the data, also of none."""
    hole = np.zeros_like(FRAME.depth)
    assert messages.to_cloud(HEADER, []) is None
    assert messages.to_cloud(HEADER, [background(TARGETS, hole, FRAME.camera)]) is None
    assert messages.to_scene(HEADER, *scene(TARGETS, hole, FRAME.camera)) is None
    everything = np.ones_like(TARGETS[0])
    assert messages.to_cloud(HEADER, [background([everything], FRAME.depth, FRAME.camera)]) is None


@pytest.fixture
def nodes():
    """(a node that publishes, a function that spins it and a listener until a condition holds, the listener)"""
    ours, theirs = rclpy.create_node("lisa"), rclpy.create_node("planner")
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(theirs)

    def until(condition, seconds=60.0):
        end = theirs.get_clock().now().nanoseconds + seconds * 1e9
        while not condition():
            assert theirs.get_clock().now().nanoseconds < end, "waited in vain"
            executor.spin_once(timeout_sec=0.05)

    yield ours, theirs, until
    executor.shutdown()
    theirs.destroy_node()
    ours.destroy_node()


def outputs() -> Outputs:
    """One query's, with all that costs."""
    masks, shape = [instance.mask for instance in INSTANCES], FRAME.color.shape[:2]
    return Outputs(
        mask=messages.to_mask(HEADER, masks, shape),
        instances=messages.to_instances(HEADER, masks, shape),
        camera_info=messages.to_camera_info(HEADER, FRAME.camera),
        points=points(),
        background=octomap(),
        scene=labelled(),
        markers=sent(messages.to_markers(HEADER, INSTANCES, "them")),
        overlay=messages.to_image(HEADER, FRAME.color, "rgb8"),
    )


KINDS = {
    "mask": Image,
    "camera_info": CameraInfo,
    "instances": Image,
    "points": PointCloud2,
    "background": PointCloud2,
    "scene": PointCloud2,
    "markers": MarkerArray,
    "overlay": Image,
}


@pytest.mark.parametrize("camera", ["", "wrist"])
def test_late_and_reliable_readers_get_every_output(nodes, camera):
    """GPD and AnyGrasp ask for reliable; who comes after the answer gets it, too."""
    ours, theirs, until = nodes
    publishers, message = Publishers(ours, camera), outputs()
    publishers.publish(message)
    got = {}
    late = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for name, kind in KINDS.items():
        topic = f"/lisa/{camera}/{name}" if camera else f"/lisa/{name}"
        theirs.create_subscription(kind, topic, lambda received, name=name: got.setdefault(name, received), late)
    until(lambda: len(got) == len(KINDS))
    for name, received in got.items():
        assert received == getattr(message, name)
    publishers.destroy()


def test_moveit_reads_with_the_sensor_data_qos(nodes):
    ours, theirs, until = nodes
    publishers, got = Publishers(ours), []
    assert not publishers.wants("background")
    theirs.create_subscription(PointCloud2, "/lisa/background", got.append, qos_profile_sensor_data)
    until(lambda: publishers.wants("background"))
    assert not publishers.wants("scene") and not publishers.wants("detections")
    message = outputs()

    def arrived() -> bool:  # best effort: one of them may get lost
        publishers.publish(message)
        return bool(got)

    until(arrived)
    assert got[0] == message.background
    publishers.destroy()


def test_an_output_that_does_not_exist_is_nobodys_wish(nodes):
    publishers = Publishers(nodes[0])
    with pytest.raises(KeyError, match="backround"):
        publishers.wants("backround")
    publishers.destroy()


def test_results_of_all_cameras_come_on_one_topic(nodes):
    ours, theirs, until = nodes
    cameras, results, got = [Publishers(ours, name) for name in ("wrist", "head")], ResultPublisher(ours), []
    late = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for number in range(5):  # none is lost before somebody reads
        results.publish(SegmentationResult(request_id=f"q{number}", camera=("wrist", "head")[number % 2]))
    theirs.create_subscription(SegmentationResult, "/lisa/result", got.append, late)
    until(lambda: len(got) == 5)
    assert [result.request_id for result in got] == [f"q{number}" for number in range(5)]
    results.destroy()
    for camera in cameras:
        camera.destroy()


def test_vision_msgs_decides_whether_there_are_detections(nodes):
    ours, theirs, until = nodes
    publishers = Publishers(ours)
    topics = dict(ours.get_publisher_names_and_types_by_node("lisa", "/"))
    if messages.Detection3DArray is None:
        assert "/lisa/detections" not in topics
    else:
        assert topics["/lisa/detections"] == ["vision_msgs/msg/Detection3DArray"]
        got = []
        theirs.create_subscription(messages.Detection3DArray, "/lisa/detections", got.append, 10)
        until(lambda: publishers.wants("detections"))
        perception = perceive(TrueEngine(), FRAME, ["them"])[0]
        message = outputs()
        message.detections = sent(messages.to_detections(HEADER, perception))
        publishers.publish(message)
        until(lambda: got)
        assert got[0] == message.detections
    publishers.destroy()
