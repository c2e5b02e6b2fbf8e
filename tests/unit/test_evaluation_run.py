"""Scoring an evaluation set: figures, shares of several processes, and runs that continue where they were cut off."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_sets import ColorBoxes
from fakes import ColorEngine

from lisa_ros.datasets.example import DatasetError, EvaluationItem
from lisa_ros.evaluation.packed_mask import unpack_mask
from lisa_ros.evaluation.rows import RowsError
from lisa_ros.evaluation.run import score_items
from lisa_ros.evaluation.summary import summarise_rows

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.pt"


class Recorder(ColorEngine):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = []

    def ask(self, encoded, queries, **options):
        self.asked.append((list(queries), options))
        return super().ask(encoded, queries, **options)


def test_figures_follow_from_what_the_engine_found():
    summary = summarise_rows(score_items(ColorEngine(), ColorBoxes(3)))
    short, long = summary.by_kind["short"], summary.by_kind["long"]
    assert (short.n, long.n, summary.n, summary.pictures) == (6, 6, 12, 3)
    assert short.giou == pytest.approx(1.0, abs=1e-5)  # half of the red box is ignored, the white one rightly refused
    assert long.giou == pytest.approx(0.25, abs=1e-5)  # half of the green truth is green; nobody names the last one
    assert long.ciou == pytest.approx(40 / (80 + 128), abs=1e-6)
    assert summary.giou == pytest.approx((1 + 0.5 + 1 + 0) / 4, abs=1e-5)
    assert summary.ciou == pytest.approx((24 + 40) / (24 + 80 + 128), abs=1e-6)
    assert (summary.no_target_accuracy, summary.no_target_n) == (1.0, 3)
    assert summary.target_accuracy == pytest.approx(2 / 3)


class Answers:
    """A set of (answers bool [q,H,W], truth uint8 [q,H,W]) and the engine that gives those answers to it."""

    name, split, device, dtype, min_target_probability = "answers", "val", "cpu", "float32", 0.0

    def __init__(self, pictures) -> None:
        self.pictures = [(np.asarray(masks), np.asarray(targets)) for masks, targets in pictures]

    def __len__(self) -> int:
        return len(self.pictures)

    def evaluation_item(self, index: int) -> EvaluationItem:
        targets = self.pictures[index][1]
        image = np.full((*targets.shape[1:], 3), index, np.uint8)
        count = len(targets)
        return EvaluationItem(str(index), image, ("it",) * count, (False,) * count, targets, ("any",) * count)

    def encode(self, image):
        return int(image[0, 0, 0])

    def ask(self, encoded, queries, **options):
        masks = self.pictures[encoded][0]
        assert len(masks) == len(queries)
        return [SimpleNamespace(masks=mask[None], answer="[SEG].", target_probability=0.5) for mask in masks]


def test_scores_equal_those_of_the_published_validation():
    torch = pytest.importorskip("torch")
    for case in torch.load(GOLDEN, weights_only=True):
        both = Answers(
            [(one["pred_logits"].numpy() > 0, one["target"].numpy().astype(np.uint8)) for one in case["images"]]
        )
        summary = summarise_rows(score_items(both, both))
        assert summary.giou == pytest.approx(case["giou"], abs=1e-6), case["name"]
        assert summary.ciou == pytest.approx(case["ciou"], abs=1e-6), case["name"]


def test_scores_with_absent_targets_are_those_of_gres():
    rng = np.random.default_rng(3)

    def some(share):
        """Masks of which every third or so is empty."""
        return rng.random((4, 20, 30)) < share * (rng.random((4, 1, 1)) < 0.7)

    pictures = [(some(0.5), some(0.4).astype(np.uint8)) for _ in range(6)]
    ious, intersections, unions, right = [], 0, 0, {True: [], False: []}
    for masks, targets in pictures:
        for mask, target in zip(masks, targets):
            intersection, union = int((mask & (target > 0)).sum()), int((mask | (target > 0)).sum())
            right[bool(target.any())].append(bool(target.any()) == bool(mask.any()))
            ious.append(intersection / union if union else 1.0)  # GRES: a rightly empty answer counts 1
            intersections, unions = intersections + intersection, unions + union
    assert min(len(right[True]), len(right[False])) > 3 and 0 < np.mean(right[False]) < 1
    both = Answers(pictures)
    summary = summarise_rows(score_items(both, both))
    assert summary.giou == pytest.approx(np.mean(ious), abs=1e-5)
    assert summary.ciou == pytest.approx(intersections / unions)
    assert (summary.no_target_accuracy, summary.target_accuracy) == (np.mean(right[False]), np.mean(right[True]))


def test_the_plain_protocol_counts_what_lisas_ignores():
    rows = score_items(ColorEngine(), ColorBoxes(1), protocol="plain")
    assert (rows[0].answers[0].intersection, rows[0].answers[0].union) == (24, 48)
    rows = score_items(ColorEngine(), ColorBoxes(1), protocol="lisa")
    assert (rows[0].answers[0].intersection, rows[0].answers[0].union) == (24, 24)


def test_questions_of_a_picture_are_one_batch_and_the_whole_user_turn():
    engine = Recorder()
    score_items(engine, ColorBoxes(2))
    assert engine.encoded_frames == 2 and len(engine.asked) == 2
    queries, options = engine.asked[0]
    assert queries[0] == "What is the red box in this image? Please output segmentation mask."
    assert queries[1] == "Where is the green box? Please output segmentation mask."
    assert (options["raw"], options["mode"]) == (True, "mask")


def test_in_the_models_own_wording_the_text_is_asked_bare():
    engine = Recorder()
    score_items(engine, ColorBoxes(1), wording="model", mode="chat")
    queries, options = engine.asked[0]
    assert queries[:2] == ["the red box", "Where is the green box?"]
    assert (options["raw"], options["mode"]) == (False, "chat")


def test_an_answer_is_the_union_of_all_its_masks():
    class Halves(ColorEngine):
        def ask(self, encoded, queries, **options):
            said = super().ask(encoded, queries, **options)
            for one in said:
                if len(one.masks):
                    upper, lower = one.masks[0].copy(), one.masks[0].copy()
                    upper[4:], lower[:4] = False, False
                    one.masks = np.stack([upper, lower])
            return said

    (row,) = score_items(Halves(), ColorBoxes(1), mode="chat")
    assert summarise_rows([row]).by_kind["short"].giou == pytest.approx(1.0, abs=1e-4)
    assert unpack_mask(row.answers[1].mask).sum() == 40
    assert not unpack_mask(row.answers[3].mask).any() and not row.answers[3].found


def test_shares_are_disjoint_and_together_everything():
    whole = score_items(ColorEngine(), ColorBoxes(7))
    parts = [row for rank in (1, 0, 2) for row in score_items(ColorEngine(), ColorBoxes(7), share=(rank, 3))]
    assert sorted(row.index for row in parts) == list(range(7)) == [row.index for row in whole]
    same = dataclasses.replace(summarise_rows(parts), seconds=0.0)
    assert same == dataclasses.replace(summarise_rows(whole), seconds=0.0)


def test_more_processes_than_pictures_leave_some_without_work():
    assert score_items(ColorEngine(), ColorBoxes(2), share=(2, 3)) == []


def test_a_picture_that_is_there_twice_is_refused():
    rows = score_items(ColorEngine(), ColorBoxes(2))
    with pytest.raises(RowsError, match=r"picture 0 \(val/000.jpg\) was scored twice"):
        summarise_rows([*rows, rows[0]])


def test_no_question_no_figures():
    with pytest.raises(ValueError, match="nothing to summarise"):
        summarise_rows([])


def test_a_limit_takes_the_first_pictures():
    assert [row.index for row in score_items(ColorEngine(), ColorBoxes(5), limit=2)] == [0, 1]
    assert len(score_items(ColorEngine(), ColorBoxes(2), limit=9)) == 2
    with pytest.raises(ValueError, match="limit is 0"):
        score_items(ColorEngine(), ColorBoxes(5), limit=0)


def interrupted(indices):
    for index in indices:
        if index == 3:
            raise KeyboardInterrupt
        yield index


def test_an_interrupted_run_continues_and_ends_with_the_same_rows(tmp_path):
    path = tmp_path / "deep" / "rows.jsonl"
    whole = score_items(ColorEngine(), ColorBoxes(5))
    with pytest.raises(KeyboardInterrupt):
        score_items(ColorEngine(), ColorBoxes(5), rows_path=path, progress=interrupted)
    with path.open("a") as file:
        file.write('{"index": 3, "name": "val')  # killed in the middle of a line
    engine = ColorEngine()
    rows = score_items(engine, ColorBoxes(5), rows_path=path)
    assert engine.encoded_frames == 2
    for row in (*rows, *whole):
        row.seconds = 0.0
    assert rows == whole
    assert score_items(engine, ColorBoxes(5), rows_path=path)[0].name == "val/000.jpg" and engine.encoded_frames == 2


def test_a_run_of_two_processes_is_continued_by_one(tmp_path):
    path = tmp_path / "rows.jsonl"
    for rank in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            score_items(ColorEngine(), ColorBoxes(6), rows_path=path, share=(rank, 2), progress=stop_before_4)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rows.0-of-2.jsonl", "rows.1-of-2.jsonl"]
    engine = ColorEngine()
    rows = score_items(engine, ColorBoxes(6), rows_path=path)
    assert [row.index for row in rows] == list(range(6)) and engine.encoded_frames == 2


def stop_before_4(indices):
    for index in indices:
        if index >= 4:
            raise KeyboardInterrupt
        yield index


@pytest.mark.parametrize("changed", ["mode", "protocol", "wording", "split", "pictures_in_set", "digest"])
def test_rows_of_another_run_are_refused_and_stay(tmp_path, changed):
    path = tmp_path / "rows.jsonl"
    score_items(ColorEngine(), ColorBoxes(2), rows_path=path, settings={"digest": "a"})
    before = path.read_bytes()
    options = {"mode": {"mode": "chat"}, "protocol": {"protocol": "plain"}, "wording": {"wording": "model"}}
    other = {"split": ColorBoxes(2, "test"), "pictures_in_set": ColorBoxes(3)}.get(changed, ColorBoxes(2))
    digest = "b" if changed == "digest" else "a"
    with pytest.raises(RowsError, match=f"rows of another run .{changed} was .*give another folder") as refused:
        score_items(ColorEngine(), other, rows_path=path, settings={"digest": digest}, **options.get(changed, {}))
    assert str(path) in str(refused.value) and path.read_bytes() == before


@pytest.mark.parametrize("content", ["[1]\n", "no json\n", '{"settings": 1'])
def test_a_file_that_is_no_rows_is_not_overwritten(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(RowsError, match="rows.jsonl: line 1: .*remove the file to begin anew"):
        score_items(ColorEngine(), ColorBoxes(2), rows_path=path)
    assert path.read_text() == content


def test_a_damaged_row_in_the_middle_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    score_items(ColorEngine(), ColorBoxes(2), rows_path=path)
    settings, first, second = path.read_text().splitlines()
    path.write_text("\n".join([settings, first[:40], second, ""]))
    with pytest.raises(RowsError, match="line 2: not written by"):
        score_items(ColorEngine(), ColorBoxes(2), rows_path=path)


def test_the_same_picture_in_two_files_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    score_items(ColorEngine(), ColorBoxes(2), rows_path=path)
    (tmp_path / "rows.0-of-2.jsonl").write_bytes(path.read_bytes())
    with pytest.raises(RowsError, match="scored twice"):
        score_items(ColorEngine(), ColorBoxes(2), rows_path=path)


def test_an_empty_set_is_refused():
    with pytest.raises(DatasetError, match="boxes val: there is no picture"):
        score_items(ColorEngine(), ColorBoxes(0))


def test_a_truth_of_another_size_is_named():
    class Other(ColorBoxes):
        def evaluation_item(self, index):
            item = super().evaluation_item(index)
            return dataclasses.replace(item, targets=item.targets[:, :-1])

    with pytest.raises(DatasetError, match=r"val/000.jpg: the truth is \[4, 23, 32\].*24 x 32"):
        score_items(ColorEngine(), Other(1))


def test_a_question_that_the_model_cannot_take_names_the_picture():
    class Long(ColorBoxes):
        def evaluation_item(self, index):
            item = super().evaluation_item(index)
            return dataclasses.replace(item, texts=("red " * 600, *item.texts[1:]))

    with pytest.raises(ValueError, match="val/000.jpg: the prompt takes 6"):
        score_items(ColorEngine(), Long(1))


def test_the_first_line_of_the_file_says_what_the_run_was(tmp_path):
    path = tmp_path / "rows.jsonl"
    score_items(ColorEngine(), ColorBoxes(1), rows_path=path, settings={"engine_digest": "abc"})
    said = json.loads(path.read_text().splitlines()[0])
    assert (said["set"], said["split"], said["protocol"], said["engine_digest"]) == ("boxes", "val", "lisa", "abc")
