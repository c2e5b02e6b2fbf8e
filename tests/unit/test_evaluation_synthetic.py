"""The synthetic evaluation: its protocol, its baselines, what else is asked, and that it continues where it was interrupted."""
from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import AskedFrame, ColorEngine, Question, boxes_frame

from lisa_ros.engine.segmentation import Segmentation
from lisa_ros.evaluation.answers import Naming, answer_shares, scene_naming, target_names
from lisa_ros.evaluation.baselines import BestConstant, largest_object
from lisa_ros.evaluation.calibration import calibration
from lisa_ros.evaluation.goals import Goal, goals
from lisa_ros.evaluation.metrics import SegmentationScore, overlap
from lisa_ros.evaluation.packed_mask import pack_mask, unpack_mask
from lisa_ros.evaluation.query_seconds import FURTHER, query_seconds
from lisa_ros.evaluation.resident import peak_after_a_query_mb, peak_resident_mb
from lisa_ros.evaluation.scenes import Scenes
from lisa_ros.evaluation.synthetic import BLIND_QUERY, ask_scenes, beside, evaluate, report_of
from lisa_ros.evaluation.synthetic_cases import SHOWN, choose
from lisa_ros.evaluation.synthetic_page import synthetic_page
from lisa_ros.evaluation.synthetic_rows import FrameRow, QuestionRow
from lisa_ros.evaluation.synthetic_summary import KINDS

BOXES = Naming(("box", "toy box"), ("red", "green", "blue", "white"))


@dataclass
class NamedFrame(AskedFrame):
    """A frame whose objects have names."""

    objects: list = field(default_factory=list)


def named_frame(seed: int, *, split: str = "test") -> NamedFrame:
    """`boxes_frame` with the names of its boxes."""
    frame = boxes_frame(seed, split=split)
    colors = enumerate(("blue", "red", "green"), start=1)
    objects = [SimpleNamespace(id=number, kind="box", color=color) for number, color in colors]
    return NamedFrame(frame.color, frame.instance, frame.questions, objects)


class Writer(ColorEngine):
    """Writes a sentence of its own for each question, and remembers what it was asked in which mode with which threshold."""

    def __init__(self, said: dict[str, str] | None = None) -> None:
        super().__init__()
        self.said = said or {}
        self.asked: list[tuple[tuple[str, ...], str, float]] = []

    def ask(self, encoded, queries, *, mode="mask", **options):
        self.asked.append((tuple(queries), mode, self.min_target_probability))
        answers = super().ask(encoded, queries, mode=mode, **options)
        for answer in answers if mode == "chat" else ():
            answer.answer = self.said.get(answer.query, answer.answer)
        return answers


class LooksOnly(Writer):
    """Answers the blue box to "the thing", unless its threshold has it refuse."""

    def ask(self, encoded, queries, *, mode="mask", **options):
        answers = super().ask(encoded, queries, mode=mode, **options)
        for answer in answers:
            if answer.query == BLIND_QUERY and self.min_target_probability == 0.0:
                answer.masks = (encoded == (0, 0, 255)).all(axis=2)[None]
        return answers


def test_figures_follow_from_what_the_engine_found():
    report = evaluate(ColorEngine(), boxes_frame, count=4, seed=10)
    kinds = report["kinds"]
    # The red box alone is exact; of red 8x8 and green 10x10 together the engine finds only red.
    assert kinds["explicit"]["giou"] == pytest.approx((1.0 + 64 / 164) / 2, abs=1e-4)
    assert kinds["explicit"]["ciou"] == pytest.approx((64 + 64) / (64 + 164), abs=1e-6)
    assert kinds["relational"]["giou"] == pytest.approx(1.0, abs=1e-4)
    assert (kinds["use"]["giou"], kinds["use"]["refused"], kinds["use"]["n"]) == (0.0, 4, 4)
    assert (kinds["overall"]["n"], kinds["overall"]["refused"]) == (16, 4)
    assert (report["absent_refused"], report["absent_n"]) == (1.0, 4)
    assert (report["false_refusals"], report["present_n"]) == (0.25, 16)


def test_baselines_are_scored_on_the_same_questions():
    report = evaluate(ColorEngine(), boxes_frame, count=3)
    largest = report["baselines"]["largest_object"]["kinds"]
    assert largest["use"]["giou"] == pytest.approx(1.0, abs=1e-4)  # the blue box is the largest, and the target of "use"
    assert largest["explicit"]["giou"] == 0.0
    constant = report["baselines"]["constant_answer"]
    assert constant["kinds"]["overall"]["n"] == largest["overall"]["n"] == 12
    assert 0 < constant["threshold"] <= 1


def test_best_constant_is_the_best_threshold_of_the_mean_target():
    rng = np.random.default_rng(1)
    targets = [rng.random((9, 11)) < rng.random((9, 11)) ** 2 for _ in range(7)]
    constant = BestConstant()
    for target in targets:
        constant.see(target)
    score = SegmentationScore()
    for measured in constant.overlaps(targets):
        score.add(measured)
    mean = np.mean(targets, axis=0)
    by_hand = [np.mean([overlap(mean >= level, target).iou for target in targets]) for level in np.unique(mean)[1:]]
    assert score.giou == pytest.approx(max(by_hand), abs=1e-4)
    chosen = np.mean([overlap(mean >= constant.threshold - 1e-9, target).iou for target in targets])
    assert score.giou == pytest.approx(chosen, abs=1e-4)


def test_best_constant_without_targets_says_nothing():
    assert BestConstant().overlaps([]) == []


def test_largest_object_ignores_the_background():
    instance = np.array([[0, 0, 0, 0], [5, 5, 2, 0]], np.uint16)
    assert largest_object(instance).tolist() == [[False] * 4, [True, True, False, False]]
    assert not largest_object(np.zeros((2, 2), np.uint16)).any()


def test_packed_masks_come_back():
    mask = np.random.default_rng(0).random((7, 13)) < 0.4
    assert np.array_equal(unpack_mask(pack_mask(mask)), mask)


def test_an_interrupted_run_continues_and_ends_with_the_same_figures(tmp_path):
    rows = tmp_path / "rows.jsonl"
    whole = evaluate(ColorEngine(), boxes_frame, count=5)

    def interrupted(seeds):
        for seed in seeds:
            if seed == 3:
                raise KeyboardInterrupt
            yield seed

    with pytest.raises(KeyboardInterrupt):
        evaluate(ColorEngine(), boxes_frame, count=5, rows_path=rows, progress=interrupted)
    rows.write_text(rows.read_text() + '{"seed": 3, "encode_')  # killed in the middle of a line
    engine = ColorEngine()
    report = evaluate(engine, boxes_frame, count=5, rows_path=rows)
    assert engine.encoded_frames == 2
    del report["seconds"], whole["seconds"]
    assert report == whole


@pytest.mark.parametrize("changed", ["digest", "mode", "scenes"])
def test_rows_of_another_run_are_not_continued(tmp_path, changed):
    rows = tmp_path / "rows.jsonl"
    evaluate(ColorEngine(), boxes_frame, count=2, rows_path=rows)
    engine = ColorEngine()
    make_frame = (lambda seed, split: boxes_frame(seed + 100)) if changed == "scenes" else boxes_frame
    evaluate(
        engine,
        make_frame,
        count=2,
        rows_path=rows,
        mode="chat" if changed == "mode" else "mask",
        engine_digest="other" if changed == "digest" else "",
    )
    assert engine.encoded_frames == 2
    assert len(rows.read_text().splitlines()) == 3
    assert json.loads(rows.read_text().splitlines()[0])["mode"] == ("chat" if changed == "mode" else "mask")


def test_a_count_of_zero_is_refused():
    with pytest.raises(ValueError, match="count is 0"):
        evaluate(ColorEngine(), boxes_frame, count=0)


def test_all_kinds_have_a_place_in_the_table_and_the_overall_score():
    report = evaluate(ColorEngine(), boxes_frame, count=1)
    assert tuple(report["kinds"]) == (*KINDS, "overall")
    assert KINDS == ("explicit", "relational", "comparison", "several", "use", "held-out use")
    assert report["kinds"]["held-out use"]["n"] == 0 and report["kinds"]["overall"]["n"] == 4


# --- without the question -----------------------------------------------------------------------------------------------------


def test_blind_asks_one_sentence_for_every_question_and_refuses_nothing():
    engine = LooksOnly()
    report = evaluate(engine, boxes_frame, count=3, blind=True)
    blind = [asked for asked in engine.asked if asked[0] == (BLIND_QUERY,)]
    assert blind == [((BLIND_QUERY,), "mask", 0.0)] * 3
    assert all(minimum == 0.5 for queries, _, minimum in engine.asked if queries != (BLIND_QUERY,))
    assert engine.min_target_probability == 0.5
    kinds = report["blind"]["kinds"]
    assert kinds["use"]["giou"] == pytest.approx(1.0, abs=1e-4)  # the blue box is its target
    assert kinds["explicit"]["giou"] == kinds["relational"]["giou"] == 0.0
    assert kinds["overall"] == {"giou": pytest.approx(0.25, abs=1e-4), "ciou": kinds["overall"]["ciou"], "n": 12}
    assert report["blind"]["query"] == "the thing"
    assert report["kinds"] == evaluate(ColorEngine(), boxes_frame, count=3)["kinds"]


def test_blind_gives_the_threshold_back_when_the_engine_fails():
    class Fails(ColorEngine):
        def ask(self, encoded, queries, **options):
            if queries == [BLIND_QUERY]:
                raise RuntimeError("no")
            return super().ask(encoded, queries, **options)

    engine = Fails()
    with pytest.raises(RuntimeError):
        evaluate(engine, boxes_frame, count=1, blind=True)
    assert engine.min_target_probability == 0.5


def test_blind_answers_of_a_chat_run_are_forced_too():
    engine = LooksOnly()
    evaluate(engine, boxes_frame, count=1, mode="chat", blind=True)
    assert [(len(queries), mode) for queries, mode, _ in engine.asked] == [(5, "chat"), (1, "mask")]


# --- written answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is the red mug, left of the bowl.", {"red mug"}),
        ("These are the red  mug and the Blue toy car.", {"red mug", "blue toy car"}),
        ("It is the blue watering can: one waters plants with it.", {"blue watering can"}),
        ("It is the white washing machine.", {"white washing machine"}),
        ("It is the white bookshelf.", {"white bookshelf"}),
        ("the red thing and the mug", set()),
        ("infrared mug, red mugs", set()),
        ("mug in red [SEG] and the washing machine in white [SEG].", {"red mug", "white washing machine"}),
        ("a mug in redwood, a smug in red", set()),
    ],
)
def test_names_are_a_colour_and_the_longest_kind(text, found):
    assert scene_naming().names(text) == found


def test_a_kind_that_begins_as_another_is_the_longer_one():
    assert Naming(("toy", "toy car"), ("red",)).names("the red toy car and the red toy") == {"red toy car", "red toy"}


@pytest.mark.parametrize(
    ("written", "wanted", "right"),
    [
        ("[SEG]. It is the red box.", ["red box"], True),
        ("[SEG]. It is the red toy box.", ["red box"], False),
        ("[SEG]. It is the red box and the blue box.", ["red box"], False),
        ("[SEG]. These are the blue box and the red box.", ["red box", "blue box"], True),
        ("[SEG]. These are the red box and the red box.", ["red box", "red box"], True),
        ("[SEG]. It is the red box.", ["red box", "blue box"], False),
        ("There is no red box here.", ["red box"], False),
        ("It is the red box.", ["red box"], False),
        ("There is no white box here.", [], True),
        ("There is nothing to sit on here.", [], True),
        ("[SEG]. There is no white box here.", [], False),
        ("box in red [SEG] and the box in blue [SEG].", ["red box", "blue box"], True),
        ("box in white. There is no white box here.", [], True),
        ("It is the white box.", [], False),
        ("", [], False),
    ],
)
def test_an_answer_is_right_when_it_names_exactly_the_targets(written, wanted, right):
    assert BOXES.right(written, wanted) is right


def test_shares_of_right_answers_by_number_of_targets():
    written = [
        ("[SEG]. It is the red box.", ["red box"]),
        ("[SEG]. It is the red box.", ["blue box"]),
        ("[SEG]. These are the red box and the blue box.", ["blue box", "red box"]),
        ("There is none here.", []),
    ]
    shares = answer_shares(written, BOXES)
    assert {name: (one["share"], one["n"]) for name, one in shares.items()} == {
        "single": (0.5, 2), "several": (1.0, 1), "present": (pytest.approx(2 / 3), 3), "absent": (1.0, 1), "overall": (0.75, 4),
    }  # fmt: skip
    assert answer_shares([], BOXES)["single"] == {"share": None, "n": 0}


def test_answers_are_written_on_the_same_encoding_and_scored_by_the_frames_own_names():
    said = {
        "the red box": "[SEG]. It is the red box.",
        "the green box": "[SEG]. It is the blue box.",
        "something to sit on": "There is nothing to sit on here.",
        "the red box and the green one": "[SEG]. These are the green box and the red box.",
        "the white box": "There is no white box here.",
    }
    engine = Writer(said)
    report = evaluate(engine, named_frame, count=2, naming=BOXES)
    assert engine.encoded_frames == 2 and [mode for _, mode, _ in engine.asked] == ["mask", "chat"] * 2
    assert {name: one["share"] for name, one in report["answers"].items()} == {
        "single": pytest.approx(1 / 3), "several": 1.0, "present": 0.5, "absent": 1.0, "overall": 0.6,
    }  # fmt: skip
    assert report["seconds"]["write_per_question"] >= 0
    assert report["kinds"] == evaluate(ColorEngine(), boxes_frame, count=2)["kinds"]  # masks are those of mask mode


def test_a_chat_run_is_not_asked_twice_for_its_answers():
    engine = Writer({"the red box": "[SEG]. It is the red box."})
    report = evaluate(engine, named_frame, count=1, mode="chat", naming=BOXES)
    assert [mode for _, mode, _ in engine.asked] == ["chat"]
    assert report["answers"]["single"]["share"] == pytest.approx(1 / 3)
    assert "write_per_question" not in report["seconds"]


def test_target_names_are_those_of_the_frame():
    assert target_names(named_frame(0), (3, 1)) == ["green box", "blue box"]
    with pytest.raises(KeyError):
        target_names(named_frame(0), (9,))


# --- calibration --------------------------------------------------------------------------------------------------------------


def test_calibration_by_hand():
    found = calibration([0.05, 0.15, 0.15, 0.3, 0.95, 1.0], [False, True, False, True, True, True])
    bins = found["bins"]
    assert [one["n"] for one in bins] == [1, 2, 0, 1, 0, 0, 0, 0, 0, 2]
    assert bins[1]["mean_probability"] == pytest.approx(0.15) and bins[1]["share_present"] == 0.5
    assert bins[2]["mean_probability"] is None and bins[2]["share_present"] is None
    assert (bins[9]["low"], bins[9]["high"]) == (0.9, 1.0) and bins[9]["mean_probability"] == pytest.approx(0.975)
    assert found["expected_calibration_error"] == pytest.approx((0.05 + 2 * 0.35 + 0.7 + 2 * 0.025) / 6)
    squares = [0.05**2, 0.85**2, 0.15**2, 0.7**2, 0.05**2, 0.0]
    assert found["brier"] == pytest.approx(sum(squares) / 6) and found["n"] == 6


def test_calibrated_probabilities_have_no_error():
    rng = np.random.default_rng(0)
    said = rng.random(20000)
    found = calibration(said, rng.random(20000) < said)
    assert found["expected_calibration_error"] < 0.02 and found["brier"] == pytest.approx(1 / 6, abs=0.01)


def test_calibration_without_questions_and_of_what_is_no_probability():
    found = calibration([], [])
    assert (found["n"], found["brier"], found["expected_calibration_error"]) == (0, None, None)
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            calibration([wrong], [True])


def test_the_report_has_the_calibration_of_all_questions():
    found = evaluate(ColorEngine(), boxes_frame, count=2)["calibration"]
    # present 3 x 0.9 and one refused at 0.1, absent at 0.1: per frame
    assert [found["bins"][number]["n"] for number in (1, 9)] == [4, 6]
    assert found["bins"][1]["share_present"] == 0.5 and found["bins"][9]["share_present"] == 1.0
    assert found["expected_calibration_error"] == pytest.approx(0.4 * 0.4 + 0.6 * 0.1)


# --- another list of questions, another model -----------------------------------------------------------------------------------


LIST = {
    7: [Question("hand me the green one", "explicit", (3,))],
    3: [Question("red please", "use", (2,)), Question("white?", "absent", ())],
}


def test_a_list_takes_the_place_of_the_generated_questions():
    engine = Writer()
    report = evaluate(engine, boxes_frame, questions=LIST)
    assert [queries for queries, _, _ in engine.asked] == [("red please", "white?"), ("hand me the green one",)]
    assert (report["questions"], report["count"], report["seed"], report["split"]) == ("handwritten", 2, 3, "test")
    assert {kind: one["n"] for kind, one in report["kinds"].items() if one["n"]} == {"explicit": 1, "use": 1, "overall": 2}
    assert report["kinds"]["overall"]["giou"] == pytest.approx(1.0, abs=1e-4) and report["absent_refused"] == 1.0
    assert evaluate(ColorEngine(), boxes_frame, questions=LIST, count=1)["count"] == 1


def test_frames_of_a_list_are_of_the_test_split_whoever_asks():
    splits = []

    def make_frame(seed, split):
        splits.append(split)
        return boxes_frame(seed)

    evaluate(ColorEngine(), make_frame, questions=LIST, split="val")
    assert set(splits) == {"test"}


def test_rows_of_another_list_are_not_continued(tmp_path):
    rows = tmp_path / "rows.jsonl"
    evaluate(ColorEngine(), boxes_frame, questions=LIST, rows_path=rows)
    same = ColorEngine()
    evaluate(same, boxes_frame, questions=LIST, rows_path=rows)
    other = ColorEngine()
    evaluate(other, boxes_frame, questions={**LIST, 7: [Question("green", "explicit", (3,))]}, rows_path=rows)
    assert (same.encoded_frames, other.encoded_frames) == (0, 2)


@pytest.mark.parametrize("more", [{"blind": True}, {"naming": BOXES}])
def test_rows_without_what_is_asked_now_are_not_continued(tmp_path, more):
    rows = tmp_path / "rows.jsonl"
    evaluate(ColorEngine(), named_frame, count=2, rows_path=rows)
    engine, again = ColorEngine(), ColorEngine()
    fresh = evaluate(engine, named_frame, count=2, rows_path=rows, **more)
    continued = evaluate(again, named_frame, count=2, rows_path=rows, **more)
    assert (engine.encoded_frames, again.encoded_frames) == (2, 0)
    assert continued == fresh and ("blind" in fresh, "answers" in fresh) == ("blind" in more, "naming" in more)


def test_a_count_is_needed_without_a_list():
    with pytest.raises(ValueError, match="count is None"):
        evaluate(ColorEngine(), boxes_frame)


class Blindfolded(ColorEngine):
    """Refuses everything."""

    name = "blindfolded"

    def ask(self, encoded, queries, **options):
        nothing = np.zeros((0, *encoded.shape[:2]), bool)
        return [Segmentation(query, "", 0.2, nothing, np.zeros(0, np.float32), [], []) for query in queries]


def test_another_model_stands_beside_with_its_own_figures():
    scenes = Scenes(boxes_frame, range(2))
    _, own = ask_scenes(ColorEngine(), scenes)
    settings, rows = ask_scenes(Blindfolded(), scenes)
    part = beside(report_of(settings, scenes, rows), rows, own)
    assert (part["model"], part["false_refusals"], part["kinds"]["explicit"]["giou"]) == ("blindfolded", 1.0, 0.0)
    assert part["kinds"]["overall"]["n"] == 8 and "baselines" not in part
    _, elsewhere = ask_scenes(ColorEngine(), Scenes(boxes_frame, range(1, 3)))
    with pytest.raises(ValueError, match="not asked the same"):
        beside(report_of(settings, scenes, rows), rows, elsewhere)


# --- seconds, memory, goals -----------------------------------------------------------------------------------------------------


class Slow(Writer):
    """Takes 20 ms to encode, 5 ms to answer."""

    def encode(self, image):
        time.sleep(0.02)
        return super().encode(image)

    def ask(self, encoded, queries, **options):
        time.sleep(0.005)
        return super().ask(encoded, queries, **options)


def test_queries_are_timed_one_at_a_time_on_new_frames():
    engine = Slow()
    frames = [boxes_frame(0), AskedFrame(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)), boxes_frame(1)]
    found = query_seconds(engine, iter(frames))
    assert all(len(queries) == 1 and mode == "mask" for queries, mode, _ in engine.asked)
    assert engine.encoded_frames == 3  # the first one twice: once it does not count
    assert (found["first_query"]["n"], found["further_query"]["n"]) == (2, 2 * FURTHER)
    assert 0.025 <= found["first_query"]["p50"] <= found["first_query"]["p95"]
    assert 0.005 <= found["further_query"]["p50"] < found["first_query"]["p50"]
    assert query_seconds(engine, []) == {}


def test_memory_is_the_peak_of_this_process():
    before = peak_resident_mb()
    engine = Writer()
    assert 20 < before <= peak_after_a_query_mb(engine) and [mode for _, mode, _ in engine.asked] == ["mask", "chat"]
    held = np.ones(60_000_000, np.uint8)
    grown = peak_resident_mb()
    del held
    assert grown >= before and peak_resident_mb() == grown


def test_goals_are_held_against_the_figures():
    report = evaluate(ColorEngine(), boxes_frame, count=2)
    report["seconds"] |= {"first_query": {"p50": 0.5, "p95": 1.2, "n": 3}}
    found = {goal.name: goal for goal in goals({**report, "memory_mb": 1400.0})}
    assert found["gIoU relational"].met and not found["gIoU explicit"].met
    assert found["gIoU by use, unseen wording"].figure == 0.0
    assert found["absent targets refused"].met and found["false refusals"].met is False
    assert found["first query, p95"].met is False and found["further query, p95"].met is None
    assert found["peak memory"].met and found["peak memory"].wanted == "<= 1500 MB"
    assert found["written answers name the target"].met is None
    on_gpu = goals({**report, "device": "cuda:0", "split": "val"})
    assert not any("query" in goal.name or "memory" in goal.name or "unseen" in goal.name for goal in on_gpu)
    assert Goal("x", 0.95, 0.95, unit="%").met and Goal("x", 0.05, 0.05, at_least=False).met


# --- the page -------------------------------------------------------------------------------------------------------------------


def row_of(ious) -> list[FrameRow]:
    answers = [
        QuestionRow(f"q{number}", "explicit", True, 0.9, "[SEG].", (round(1000 * iou), 1000), (0, 1), "", "")
        for number, iou in enumerate(ious)
    ]
    absent = QuestionRow("gone", "absent", True, 0.9, "[SEG].", (0, 10), (0, 1), "", "")
    return [FrameRow(0, 0.0, 0.0, None, [*answers, absent])]


@pytest.mark.parametrize("n", [0, 1, 2, 5, 36, 37, 100])
def test_best_median_and_worst_answers(n):
    groups = choose(row_of(np.random.default_rng(n).permutation(n) / max(n, 1)))
    shown = [case.answer.text for cases in groups.values() for case in cases]
    assert len(set(shown)) == len(shown) and "gone" not in shown
    ious = {name: [case.answer.iou for case in cases] for name, cases in groups.items()}
    if n == 100:
        assert [len(cases) for cases in groups.values()] == [SHOWN] * 3
        assert ious["best"][0] == max(ious["best"]) == pytest.approx(0.99, abs=1e-3) and ious["worst"][0] == 0.0
        assert np.mean(ious["median"]) == pytest.approx(0.495, abs=0.01)
    elif n <= 36:
        assert len(shown) == n or n < 3


def test_the_page_stands_alone_and_shows_goals_reliability_and_answers():
    scenes, engine = Scenes(named_frame, range(3)), LooksOnly({"the red box": "[SEG]. It is the <red> box."})
    settings, rows = ask_scenes(engine, scenes, blind=True, naming=BOXES)
    report = report_of(settings, scenes, rows, BOXES)
    report["beside"] = {**report, "model": "older", "absent_refused": 0.123}
    drawn = []

    def frame_of(seed):
        drawn.append(seed)
        return scenes.frame(seed)

    page = synthetic_page(report, rows, frame_of)
    assert drawn == [0, 1, 2]
    assert page.count("data:image/jpeg") == 3 * 12 and "http" not in page.replace("http-equiv", "") and "<script" not in page
    for words in ("Beside the goals", "Reliability of target_probability", "&gt;= 95.0 %", "Best answers", "Worst answers"):
        assert words in page
    assert "0.123" in page and "blind (gIoU / cIoU)" in page and "beside: older (gIoU / cIoU)" in page
    assert "&lt;red&gt; box" in page and "<red>" not in page and "held-out use" not in page
