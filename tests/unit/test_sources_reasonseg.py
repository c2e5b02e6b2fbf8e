"""ReasonSeg annotations: shapes drawn in the published order, both encodings, errors that name the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lisa_ros.evaluation.metrics import overlap
from lisa_ros.sources.reasonseg import read_reasonseg


def box(label, left, top, right, bottom):
    return {"label": label, "points": [[left, top], [right, top], [right, bottom], [left, bottom]]}


def save(folder, shapes, *, text=("the red thing",), is_sentence=False, encoding="utf-8", size=(20, 12), **more):
    Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(folder / "a.png")
    path = folder / "a.json"
    values = {"text": list(text), "is_sentence": is_sentence, "shapes": shapes, **more}
    path.write_bytes(json.dumps(values, ensure_ascii=False).encode(encoding))
    return path


def test_a_polygon_with_its_border(tmp_path):
    got = read_reasonseg(save(tmp_path, [box("target", 2, 3, 5.9, 6.9)], text=["a", "b"], is_sentence=True))
    wanted = np.zeros((12, 20), np.uint8)
    wanted[3:7, 2:6] = 1  # corners cut to 5 and 6, both drawn
    np.testing.assert_array_equal(got.mask, wanted)
    assert got.mask.dtype == np.uint8
    assert got.queries == ("a", "b") and got.is_sentence is True
    assert got.frame.color.shape == (12, 20, 3) and got.frame.depth is None and got.frame.camera is None


@pytest.mark.parametrize("turned", [False, True])
def test_the_smaller_shape_stands_whatever_their_order(tmp_path, turned):
    shapes = [box("ignore", 4, 4, 7, 7), box("target", 1, 1, 15, 10), box("Ignored region", 12, 2, 13, 3)]
    mask = read_reasonseg(save(tmp_path, shapes[::-1] if turned else shapes)).mask
    assert (mask == 255).sum() == 16 + 4 and (mask == 1).sum() == 15 * 10 - 20
    assert (mask[4:8, 4:8] == 255).all() and (mask[2:4, 12:14] == 255).all()


def test_a_target_on_an_ignored_region_stands(tmp_path):
    mask = read_reasonseg(save(tmp_path, [box("target", 4, 4, 7, 7), box("ignore", 1, 1, 15, 10)])).mask
    assert (mask == 1).sum() == 16 and (mask == 255).sum() == 150 - 16


def test_of_equal_shapes_the_first_stands(tmp_path):
    mask = read_reasonseg(save(tmp_path, [box("target", 2, 2, 6, 6), box("ignore", 4, 2, 8, 6)])).mask
    assert (mask[2:7, 2:7] == 1).all() and (mask[2:7, 7:9] == 255).all()


def test_flags_are_left_out_and_shapes_may_leave_the_picture(tmp_path):
    shapes = [box("target", -30, -30, 3, 3), {"label": "FLAG", "points": "nonsense"}, box("a part", 18, 10, 500, 500)]
    mask = read_reasonseg(save(tmp_path, shapes)).mask
    assert (mask[:4, :4] == 1).all() and (mask[10:, 18:] == 1).all() and mask.sum() == 16 + 4


def test_no_shapes_are_an_empty_mask(tmp_path):
    assert not read_reasonseg(save(tmp_path, [])).mask.any()


def test_cp1252_where_it_is_not_utf8(tmp_path):
    for encoding in ("cp1252", "utf-8", "utf-8-sig"):
        path = save(tmp_path, [], text=["the café’s “thing”"], encoding=encoding)
        assert read_reasonseg(path).queries == ("the café’s “thing”",)


def test_the_metrics_take_the_mask(tmp_path):
    mask = read_reasonseg(save(tmp_path, [box("target", 0, 0, 9, 9), box("ignore", 5, 0, 9, 9)])).mask
    predicted = np.zeros(mask.shape, bool)
    predicted[:10, :10] = True  # all of the target, and the ignored half
    assert overlap(predicted, mask).iou == pytest.approx(1, abs=1e-6)


def test_the_picture_is_turned_upright(tmp_path):
    path = save(tmp_path, [box("target", 0, 0, 3, 10)])
    (tmp_path / "a.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: 20x12 as stored, 12x20 as seen
    Image.fromarray(np.zeros((12, 20, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_reasonseg(path).mask.shape == (20, 12)


def test_a_real_annotation_form(tmp_path):
    """Keys as in the published files, which say more than is needed."""
    shape = {
        "label": "target", "labels": ["target"], "shape_type": "polygon", "image_name": "a.jpg", "group_id": None,
        "group_ids": [None], "flags": {}, "points": [[2.5, 1.2], [9.7, 1.9], [6.1, 8.4]],
    }  # fmt: skip
    mask = read_reasonseg(save(tmp_path, [shape], version="4.5.6", imageData=None)).mask
    assert mask[1, 2] == 1 and mask[8, 6] == 1 and mask[5, 6] == 1 and mask[8, 2] == 0


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ({"points": [[1, 2]]}, "shape 1: it has no 'label'"),
        ([1, 2], "shape 1: it has no 'label'"),
        ({"label": "target"}, "shape 1: its 'points' must be"),
        ({"label": "target", "points": []}, "shape 1: its 'points' must be"),
        ({"label": "target", "points": [1, 2]}, "shape 1: its 'points' must be"),
        ({"label": "target", "points": [[1, 2], [3]]}, "shape 1: its 'points' must be"),
        ({"label": "target", "points": [["x", 2]]}, "shape 1: its 'points' must be"),
        ({"label": "target", "points": [[1, 2, 3]]}, "shape 1: its 'points' must be"),
        ({"label": "target", "points": [[1, float("nan")]]}, "shape 1: its 'points' must be"),
        ({"label": "target", "points": [[1, 1e30]]}, "shape 1: its 'points' must be"),
    ],
)
def test_malformed_shapes_are_named(tmp_path, shape, complaint):
    with pytest.raises(ValueError, match=f"a.json: {complaint}"):
        read_reasonseg(save(tmp_path, [box("target", 0, 0, 3, 3), shape]))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([], "expected a JSON object"),
        ({}, "'text' must be"),
        ({"text": "one"}, "'text' must be"),
        ({"text": []}, "'text' must be"),
        ({"text": ["a"]}, "'is_sentence' must be"),
        ({"text": ["a"], "is_sentence": 1}, "'is_sentence' must be"),
        ({"text": ["a"], "is_sentence": True}, "no list 'shapes'"),
    ],
)
def test_malformed_files_are_named(tmp_path, values, complaint):
    path = save(tmp_path, [])
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=f"a.json: {complaint}"):
        read_reasonseg(path)


def test_cut_short_and_missing(tmp_path):
    path = save(tmp_path, [])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="a.json: not JSON, or cut short"):
        read_reasonseg(path)
    with pytest.raises(FileNotFoundError, match="b.json: no such file"):
        read_reasonseg(tmp_path / "b.json")
    path = save(tmp_path, [])
    (tmp_path / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match="no picture beside it; put a.jpg"):
        read_reasonseg(path)
