"""The figures and the page of a scannet_tools evaluation, from rows whose scores are known."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import BROWSER, look_at

from lisa_ros.evaluation.packed_mask import pack_mask
from lisa_ros.evaluation.page import plots
from lisa_ros.evaluation.page.pictures import MISSING, RIGHT, WRONG, answer_picture, data_uri, shrink
from scannet_tools.evaluation.cases import choose
from scannet_tools.evaluation.mesh_colors import vertex_colors
from scannet_tools.evaluation.mesh_view import MeshView, viewpoint
from scannet_tools.evaluation.report import page
from scannet_tools.evaluation.rows import FrameAnswer, KeptFrame, QuestionRow, SceneRow
from scannet_tools.evaluation.summary import summarise
from scannet_tools.scores.vertices import VertexOverlap

SETTINGS = {"min_share": 0.01, "scene_digest": "d"}
PIXELS = 10_000
"""Of one picture: 100 of them are the least in view."""


def answer(frame: int, target: int, intersection: int = 0, union: int = 0, found: bool = True) -> FrameAnswer:
    return FrameAnswer(frame, target, intersection, union, found, 0.5)


def question(text: str, kind: str, answers, vertices=None) -> QuestionRow:
    targets = () if kind == "absent" else (1,)
    return QuestionRow(text, kind, targets, PIXELS, answers, vertices, pack_mask(np.zeros((1, 8), bool)))


@pytest.fixture
def rows():
    """Two scenes and one that failed. The chair: two frames in view, one with a sliver, two out of view."""
    chair = [
        answer(0, 1000, 500, 1000),
        answer(1, 100, 0, 100, found=False),
        answer(2, 99, 0, 5000),
        answer(3, 0, 0, 0, found=False),
        answer(4, 0, 0, 700),
    ]
    piano = [answer(0, 0, 0, 0, found=False), answer(1, 0, 0, 900)]
    first = SceneRow(
        "scene0000_00",
        SETTINGS,
        frames=5,
        without_pose=2,
        questions=[
            question("the chair", "explicit", chair, VertexOverlap(30, 40, 50)),
            question("something to sit on", "use", [answer(0, 2000, 2000, 2000)], VertexOverlap(10, 10, 40)),
            question("the piano", "absent", piano, VertexOverlap(0, 5, 0)),
        ],
        seconds={"encode": [0.1, 0.2, 0.3], "ask": [0.5], "lift": []},
    )
    second = SceneRow(
        "scene0001_00",
        SETTINGS,
        frames=1,
        questions=[question("the sofa", "explicit", [answer(0, 0, 0, 0, found=False)], VertexOverlap(0, 0, 90))],
    )
    return [second, first, SceneRow("scene0002_00", SETTINGS, failure="no .sens file <here>")]


def test_only_targets_in_view_enter_the_scores_of_masks(rows):
    explicit = summarise(rows)["kinds"]["explicit"]
    assert (explicit["questions"], explicit["seen"], explicit["in_view"]) == (2, 1, 2)
    assert explicit["giou"] == pytest.approx((0.5 + 0.0) / 2, abs=1e-4)
    assert explicit["ciou"] == pytest.approx(500 / 1100)
    assert explicit["false_refusals"] == 0.5


def test_scores_on_the_mesh_are_means_over_questions_that_some_frame_shows(rows):
    kinds = summarise(rows)["kinds"]
    names = ("vertex_iou", "precision", "recall")
    assert [kinds["explicit"][name] for name in names] == [0.5, 0.75, 0.6]  # the sofa is never seen
    assert [kinds["use"][name] for name in names] == [0.25, 1.0, 0.25]
    overall = kinds["overall"]
    assert (overall["vertex_iou"], overall["acc25"], overall["acc50"]) == (0.375, 1.0, 0.5)
    assert kinds["relational"]["giou"] is None and kinds["relational"]["vertex_iou"] is None


def test_refusals_are_right_where_there_is_nothing(rows):
    figures = summarise(rows)
    assert figures["absent"] == {"questions": 1, "asked": 2, "refused": 0.5, "empty": 0.0}
    assert figures["out_of_view"] == {"asked": 3, "refused": pytest.approx(2 / 3)}  # chair twice, sofa once


def test_counts_seconds_and_failures(rows):
    figures = summarise(rows)
    assert (figures["scenes"], figures["frames"], figures["without_pose"]) == (2, 6, 2)
    assert figures["failed"] == {"scene0002_00": "no .sens file <here>"}
    assert figures["seconds"]["encode"] == {"p50": pytest.approx(0.2), "p95": pytest.approx(0.29), "count": 3}
    assert figures["seconds"]["lift"] == {"p50": None, "p95": None, "count": 0}


def test_the_order_of_rows_does_not_matter(rows):
    assert summarise(rows) == summarise(rows[::-1])
    json.dumps(summarise(rows), allow_nan=False)


def test_an_answer_with_nothing_on_the_mesh_has_no_precision(rows):
    rows[1].questions[0].vertices = VertexOverlap(0, 0, 50)
    explicit = summarise(rows)["kinds"]["explicit"]
    assert (explicit["vertex_iou"], explicit["precision"], explicit["recall"]) == (0.0, 0.0, 0.0)


def kept(iou: float) -> KeptFrame:
    empty = pack_mask(np.zeros((4, 4), bool))
    return KeptFrame(0, iou, empty, empty)


def test_a_question_is_among_the_best_or_the_worst_but_not_in_both(rows):
    first = rows[1]
    for q, row in enumerate(first.questions[:2]):
        row.best = row.worst = kept(0.1 * q)
    first.questions[2].worst = kept(0.0)
    groups = {name: [case.question.question for case in cases] for name, cases in choose(rows[:2]).items()}
    assert groups == {"best": ["the chair"], "worst": ["something to sit on"], "false_alarms": ["the piano"]}


def test_colours_of_right_missing_and_wrong():
    answered, wanted = np.array([[1, 1, 0, 0]], bool), np.array([[1, 0, 1, 0]], bool)
    colors = vertex_colors(np.full((4, 3), 100, np.uint8), answered[0], wanted[0])
    assert [tuple(color) for color in colors[:3]] == [RIGHT, WRONG, MISSING]
    assert len(set(colors[3])) == 1  # grey
    big = [np.kron(mask, np.ones((40, 40), bool)) for mask in (answered, wanted)]
    picture = answer_picture(np.full((40, 160, 3), 90, np.uint8), *big)
    middle = picture[20, 20::40].astype(int)
    for tint, pixel in zip((RIGHT, WRONG, MISSING), middle):
        assert np.argmax(tint) == np.argmax(pixel)
    assert np.ptp(middle[3]) == 0


def test_pictures_are_made_small():
    assert shrink(np.zeros((968, 1296, 3), np.uint8)).shape == (359, 480, 3)
    mask = np.zeros((968, 1296), bool)
    mask[:, :648] = True
    assert shrink(mask).dtype == bool and shrink(mask).mean() == pytest.approx(0.5, abs=0.01)
    assert data_uri(np.zeros((8, 8, 3), np.uint8)).startswith("data:image/jpeg;base64,")


def box(low, high) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward faces of a box."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return np.asarray(low, np.float32) + corners * np.subtract(high, low).astype(np.float32), np.array(faces, np.int32)


def test_the_mesh_is_seen_through_walls_that_turn_their_back():
    pytest.importorskip("open3d")
    room, room_faces = box((-2, -2, 0), (2, 2, 2.5))
    thing, thing_faces = box((-0.3, -0.3, 0.0), (0.3, 0.3, 0.6))
    vertices = np.concatenate([room, thing])
    faces = np.concatenate([room_faces[:, ::-1], thing_faces + len(room)])  # the room is seen from inside
    colors = np.repeat(np.array([[200, 200, 200], RIGHT], np.uint8), 8, axis=0)
    view = viewpoint(thing, np.array([1.0, 0.0, -0.2]))
    assert view.eye[0] < -1 and view.eye[2] > 1  # from where the camera looked, and from above
    picture = MeshView(vertices, faces).picture(colors, view)
    center = picture[picture.shape[0] // 2, picture.shape[1] // 2].astype(int)
    assert center[1] > center[0] + 40  # the thing's green, not the wall before it
    green = (picture[:, :, 1].astype(int) - picture[:, :, 0] > 40).mean()
    assert 0.02 < green < 0.6


class Page(HTMLParser):
    """Tags of a page, and what would be loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def whole_page(rows) -> str:
    figures = summarise(rows)
    for row in rows:
        for one in row.questions:
            one.best = one.worst = kept(0.5)
    cases = choose([row for row in rows if not row.failure])
    for group in cases.values():
        for case in group:
            case.pictures = [(name, np.full((30, 40, 3), 90, np.uint8)) for name in ("frame", "mesh")]
    return page(rows, figures, cases, {"model": "lisa <mini>", "device": "cpu"})


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(rows):
    rows[1].questions[0].question = 'the <b>chair</b> & "table"'
    text = whole_page(rows)
    assert "<b>chair" not in text and "the &lt;b&gt;chair" in text and "lisa &lt;mini&gt;" in text
    shown = Page(text)
    addresses = [a[name] for _, a in shown.tags for name in ("src", "href") if name in a]
    assert addresses and all(address.startswith("data:") for address in addresses)
    assert "url(" not in text and "http" not in re.sub(r"data:[^\"]+", "", text)
    assert "no .sens file &lt;here&gt;" in text


def test_the_page_can_be_read_by_all(rows):
    shown = Page(whole_page(rows))
    assert shown.all("html")[0]["lang"] == "en"
    assert any("width=device-width" in meta.get("content", "") for meta in shown.all("meta"))
    assert all(image["alt"].strip() for image in shown.all("img")) and len(shown.all("img")) >= 4
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for svg in shown.all("svg"):
        assert svg["role"] == "img" and set(svg["aria-labelledby"].split()) <= set(ids)
    assert len(shown.all("svg")) == 4
    assert all(head["scope"] in ("col", "row") for head in shown.all("th"))


def test_a_page_of_nothing_but_failures(rows):
    text = page([rows[2]], summarise([rows[2]]), choose([]), {})
    assert "1 scene left out" in text and Page(text).all("svg") == []


def svg_of(plot: plots.Plot) -> ElementTree.Element:
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", plot.markup, re.DOTALL).group(0))


def test_bars_are_as_high_as_their_values():
    plot = plots.bars("T", "said", ["a", "b"], {"one": [1.0, None], "two": [0.5, 0.25]})
    heights = [float(bar.get("height")) for bar in svg_of(plot).iter("rect")]
    full = plots.HEIGHT - plots.TOP - plots.BOTTOM
    assert heights == pytest.approx([full, full / 2, full / 4], abs=0.1)  # and none for None
    assert "–" in plot.markup


def test_curves_ascend_where_their_values_do():
    plot = plots.lines("T", "said", "x", [0.0, 0.5, 1.0], {"one": [0.0, 0.5, 1.0]}, shown=3)
    (line,) = list(svg_of(plot).iter("polyline"))
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    assert points[0] == (plots.LEFT, plots.HEIGHT - plots.BOTTOM)
    assert points[2] == (plots.WIDTH - plots.RIGHT, plots.TOP)
    assert points[1] == pytest.approx(((points[0][0] + points[2][0]) / 2, (points[0][1] + points[2][1]) / 2))


def test_names_in_plots_are_escaped():
    svg_of(plots.ranges("T & <T>", "a < b", "ms", ["<x>"], {"p50": [1.0], "p95": [2.0]}))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_all_pictures_and_has_no_complaint(tmp_path, rows, width):
    text = whole_page(rows)
    seen = look_at(text, tmp_path, width)
    assert seen["pictures"] == text.count("<img") >= 4
    assert seen["plots"] == 4
    assert seen["overflow"] <= 0  # nothing to scroll sideways but tables in their own boxes


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_the_browser_would_say_what_is_wrong(tmp_path, rows):
    text = whole_page(rows)
    broken = text.replace("</main>", '<img src="data:image/png;base64,AAAA" alt=""></main>')
    assert look_at(broken, tmp_path, 800)["pictures"] == text.count("<img") < broken.count("<img")
    with pytest.raises(AssertionError, match="CONSOLE"):
        look_at(text.replace("</main>", "<script>nothing()</script></main>"), tmp_path, 800)
