"""What an evaluation leaves behind: figures, samples, and a page that stands alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import BROWSER, look_at
from evaluation_sets import ColorBoxes
from fakes import ColorEngine

from lisa_ros.evaluation.cases import choose
from lisa_ros.evaluation.page.pictures import IGNORED, MISSING, RIGHT, WRONG, answer_picture, target_picture
from lisa_ros.evaluation.paper_rows import paper_table
from lisa_ros.evaluation.report import write_results
from lisa_ros.evaluation.rows import AnswerRow, ItemRow
from lisa_ros.evaluation.run import run_settings, score_items


class ReasonSegBoxes(ColorBoxes):
    name = "reasonseg"


class Dreamer(ColorEngine):
    """Sees white boxes where none are."""

    def ask(self, encoded, queries, **options):
        said = super().ask(encoded, queries, **options)
        said[2].masks = np.ones((1, *encoded.shape[:2]), bool)
        return said


def evaluate(folder, boxes, engine=None, **choices):
    engine = engine or ColorEngine()
    choices = {"mode": "mask", "protocol": "lisa", "wording": "lisa"} | choices
    rows = score_items(engine, boxes, **choices)
    folder.mkdir(exist_ok=True)
    summary = write_results(folder, rows, boxes, run_settings(engine, boxes, **choices))
    read = {
        name: (folder / name).read_text(encoding="utf-8") for name in ("scores.json", "samples.json", "report.html")
    }
    return summary, json.loads(read["scores.json"]), json.loads(read["samples.json"]), read["report.html"]


class Page(HTMLParser):
    """Tags of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_figures_and_samples_agree(tmp_path):
    summary, scores, samples, _ = evaluate(tmp_path, ColorBoxes(3))
    assert (scores["giou"], scores["by_kind"]["short"]["n"], scores["n"]) == (summary.giou, 6, 12)
    assert (scores["no_target_accuracy"], scores["model"], scores["pictures"]) == (1.0, "color-engine", 3)
    assert [sample["name"] for sample in samples["samples"]] == ["val/000.jpg", "val/001.jpg", "val/002.jpg"]
    answer = samples["samples"][0]["answers"][1]
    assert (answer["text"], answer["kind"], answer["target_pixels"]) == (" Where is the green box?", "long", 80)
    assert answer["iou"] == pytest.approx(0.5, abs=1e-5) and "mask" not in answer
    ious = [answer["iou"] for sample in samples["samples"] for answer in sample["answers"]]
    assert np.mean(ious) == pytest.approx(scores["giou"], abs=1e-5)


@pytest.mark.parametrize(
    ("protocol", "said"), [("lisa", "ignored regions count in no score"), ("plain", "as background")]
)
def test_the_protocol_is_stated_in_every_file(tmp_path, protocol, said):
    _, scores, samples, page = evaluate(tmp_path, ColorBoxes(1), protocol=protocol)
    assert scores["protocol"] == samples["protocol"] == protocol
    assert said in scores["protocol_means"] and said in samples["protocol_means"] and said in Page(page).text


def test_the_papers_rows_stand_beside_ours_and_are_called_the_papers(tmp_path):
    _, scores, _, page = evaluate(tmp_path, ReasonSegBoxes(2))
    text = Page(page).text
    assert "Beside the paper" in text and "(measured here)" in text and "CVPR 2024" in text
    assert "LISA-7B (ft)52.954.0" in text and "trained on ReasonSeg train and val" in text
    assert scores["paper"]["rows"][6] == {"method": "LISA-7B (ft)", "overall giou": 52.9, "overall ciou": 54.0}
    assert "not measured here" in scores["paper"]["source"] and "v1" in scores["paper"]["note"]
    assert "The split of the paper has 200 pictures, the one in this folder 2" in text
    assert "follow LISA's protocol, ours do not" not in text


def test_what_cannot_be_compared_is_said(tmp_path):
    text = Page(evaluate(tmp_path, ReasonSegBoxes(2), protocol="plain", mode="chat", wording="model")[3]).text
    assert (
        "follow LISA's protocol, ours do not" in text and "ours of written ones" in text and "worded otherwise" in text
    )


def test_test_split_has_the_papers_short_and_long_queries():
    table = paper_table("reasonseg", "test")
    assert [kind for kind, _ in table.columns] == ["short", "short", "long", "long", "overall", "overall"]
    rows = dict(table.rows)
    assert rows["LISA-13B (ft)"] == (44.3, 42.0, 54.0, 54.3, 51.7, 51.1) and len(rows) == 15
    assert table.note == ""


def test_table_2_by_set_and_split():
    rows = {
        (name, split): dict(paper_table(name, split).rows)
        for name, splits in (
            ("refcoco", ("val", "testA", "testB")),
            ("refcoco+", ("testB",)),
            ("refcocog", ("val", "test")),
        )
        for split in splits
    }
    assert [rows["refcoco", split]["LISA-7B"] for split in ("val", "testA", "testB")] == [(74.1,), (76.5,), (71.1,)]
    assert rows["refcoco+", "testB"]["LISA-7B (ft)"] == (58.1,)
    assert rows["refcocog", "test"]["ReLA"] == (66.0,)
    assert rows["refcocog", "val"]["SEEM"] == (65.7,) and "SEEM" not in rows["refcocog", "test"]
    assert paper_table("grefcoco", "val") is None and paper_table("reasonseg", "train") is None


def answer(target: int, intersection: int, union: int) -> AnswerRow:
    return AnswerRow("t", "q", "short", target, union > 0, intersection, union, "", 0.5, "")


def test_an_answer_is_among_the_best_or_the_worst_but_not_in_both():
    rows = [ItemRow(i, f"{i}", 1.0, [answer(10, i, 10), answer(0, 0, i)]) for i in range(5)]
    groups = {name: [case.row.index for case in cases] for name, cases in choose(rows).items()}
    assert groups == {"worst": [0, 1], "best": [4, 3, 2], "false_alarms": [4, 3, 2, 1]}
    many = choose([ItemRow(i, f"{i}", 1.0, [answer(10, i, 100)]) for i in range(30)])
    assert [len(many[name]) for name in ("worst", "best")] == [6, 6]
    assert [case.row.index for case in many["worst"]] == [0, 1, 2, 3, 4, 5]


def test_ignored_pixels_have_a_colour_of_their_own_and_are_neither_right_nor_wrong():
    parts = {"answer": [1, 1, 0, 1, 0], "target": [1, 0, 1, 0, 0], "ignored": [0, 0, 0, 1, 0]}
    big = {name: np.kron(np.array([row], bool), np.ones((40, 40), bool)) for name, row in parts.items()}
    color = np.full((40, 200, 3), 90, np.uint8)
    middle = answer_picture(color, **big)[20, 20::40].astype(int)
    for tint, pixel in zip((RIGHT, WRONG, MISSING, IGNORED), middle):
        assert np.abs(pixel - 0.6 * np.array(tint)).max() < 60 and np.argmax(pixel) == np.argmax(tint)
    assert np.ptp(middle[4]) == 0
    truth = target_picture(color, big["target"], big["ignored"])[20, 20::40]
    assert np.array_equal(truth[0], truth[2]) and np.array_equal(truth[3], middle[3])


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(tmp_path):
    class Sharp(ColorBoxes):
        def evaluation_item(self, index):
            item = super().evaluation_item(index)
            return type(item)(
                item.name, item.image, ("a <b>red</b> box", *item.texts[1:]), item.sentences, item.targets, item.kinds
            )

    page = evaluate(tmp_path, Sharp(2))[3]
    assert "<b>red" not in page and "a &lt;b&gt;red&lt;/b&gt; box" in page
    shown = Page(page)
    addresses = [a[name] for _, a in shown.tags for name in ("src", "href") if name in a]
    assert addresses and all(address.startswith("data:") for address in addresses)
    assert "url(" not in page and "http" not in re.sub(r"data:[^\"]+", "", page)
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert all(a["alt"].strip() for tag, a in shown.tags if tag == "img")


def test_a_set_without_any_target_still_has_a_page(tmp_path):
    class Empty(ColorBoxes):
        def evaluation_item(self, index):
            item = super().evaluation_item(index)
            item.targets[:] = 0
            return item

    summary, _, _, page = evaluate(tmp_path, Empty(2))
    assert summary.target_accuracy is None and summary.no_target_accuracy == 0.5
    assert "False alarms" in page and "Worst answers" not in page


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_all_pictures_and_has_no_complaint(tmp_path, width):
    page = evaluate(tmp_path, ReasonSegBoxes(4), Dreamer())[3]
    assert "False alarms" in page
    seen = look_at(page, tmp_path, width)
    assert seen["pictures"] == page.count("<img") >= 12 * 3 - 4
    assert seen["plots"] == 4
    assert seen["overflow"] <= 0
