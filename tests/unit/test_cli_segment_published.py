"""`lisa segment` from arguments to files on a checkpoint in the published format, against what the reference computes."""
from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from golden import CHECKPOINT, GOLDEN, VISION_TOWER, read_case
from PIL import Image

from lisa_ros.cli.main import main


def segment(out, image, *argv, queries=()):
    """Exit status and, when it is 0, the entries of result.json."""
    asked = [part for query in queries for part in ("--query", query)]
    where = ["--image", str(image), "--out", str(out), "--model", str(CHECKPOINT), "--vision-tower", str(VISION_TOWER)]
    status = main(["segment", *where, "--device", "cpu", "--dtype", "float32", *asked, *argv])
    return status, json.loads((out / "result.json").read_text(encoding="utf-8")) if status == 0 else None


def segment_case(out, case, *argv):
    """The golden case as its makers asked it; the contract's files of the one query."""
    about = case.about
    words = ["--conversation", about["conv_type"], "--raw", "--save-logits"]
    status, entries = segment(out, GOLDEN / f"{about['image']}.png", *words, *argv, queries=[about["user_text"]])
    assert status == 0
    (entry,) = entries
    with np.load(out / entry["logits"]) as saved:
        return entry, dict(saved)


def unspaced(text):
    return text.replace(" ", "")


def assert_same(out, entry, saved, case, prefix):
    """Tolerances of tests/golden/README.md."""
    arrays = case.arrays
    count = len(arrays[f"{prefix}/seg_embeddings"])
    height, width = case.about["original_size"]
    assert {name: (array.dtype.name, array.shape) for name, array in saved.items() if "ids" not in name} == {
        "mask_logits": ("float32", (count, height, width)),
        "low_res_logits": ("float32", (count, 256, 256)),
        "seg_embeddings": ("float32", (count, 256)),
    }
    np.testing.assert_allclose(saved["seg_embeddings"], arrays[f"{prefix}/seg_embeddings"], atol=1e-4)
    np.testing.assert_allclose(saved["low_res_logits"], arrays[f"{prefix}/low_res"][:, 0], atol=1e-3)
    np.testing.assert_allclose(saved["mask_logits"][:, ::16, ::16], arrays[f"{prefix}/pred_masks_every16"], atol=1e-3)
    expected = case.masks(f"{prefix}/pred_masks_bits")
    certain = np.abs(saved["mask_logits"]) >= 1e-3
    assert (certain.mean(axis=(1, 2)) > 0.9).all()
    assert ((saved["mask_logits"] > 0) == expected)[certain].all()
    drawn = [cv2.imread(str(out / instance["mask"]), cv2.IMREAD_UNCHANGED) for instance in entry["instances"]]
    shown = [logits > 0 for logits in saved["mask_logits"] if (logits > 0).any()]  # an empty mask is no instance
    assert len(drawn) == len(shown) and all((png == np.where(mask, 255, 0)).all() for png, mask in zip(drawn, shown))
    assert [instance["pixel_count"] for instance in entry["instances"]] == [int(mask.sum()) for mask in shown]
    assert entry["status"] == ("FOUND" if shown else "NOT_FOUND")


@pytest.mark.parametrize("name", ["p0", "p3"])
def test_a_forced_answer_is_the_references(tmp_path, name):
    case = read_case(name)
    entry, saved = segment_case(tmp_path, case, "--answer", case.about["answer"])
    ids = [*saved["input_ids"].tolist(), *saved["output_ids"].tolist()]
    assert ids == case.arrays["tf/input_ids"][0].tolist() == entry["input_ids"] + entry["output_ids"]
    assert unspaced(entry["answer"]) == unspaced(case.about["answer"]) and entry["mode"] == "mask"
    assert_same(tmp_path, entry, saved, case, "tf")


@pytest.mark.parametrize("name", ["p4", "p5"])  # without [SEG]; with one in the query and one in the answer
def test_a_written_answer_is_the_references(tmp_path, name):
    case = read_case(name)
    limit = str(case.about["runs"]["natural"]["max_new_tokens"])
    entry, saved = segment_case(tmp_path, case, "--mode", "chat", "--max-new-tokens", limit)
    ids = [*saved["input_ids"].tolist(), *saved["output_ids"].tolist()]
    assert ids == case.arrays["eval/natural/output_ids"][0].tolist() == entry["input_ids"] + entry["output_ids"]
    said = unspaced(case.about["runs"]["natural"]["text_output"])  # "[SEG] ." there, "[SEG]." here
    assert entry["answer"] and said.endswith(unspaced(entry["answer"]) + "</s>")
    assert_same(tmp_path, entry, saved, case, "eval/natural")


def test_what_an_entry_says_about_the_run(tmp_path):
    status, (entry,) = segment(tmp_path, GOLDEN / "bin_square.png", queries=["the soap"])
    assert status == 0
    assert (entry["device"], entry["dtype"], entry["image_size"]) == ("cpu", "float32", [256, 256])
    assert entry["model"] == "ckpt" and entry["message"] == "" and 0 <= entry["target_probability"] <= 1
    timings = entry["timings"]
    assert {"encode", "language", "decode", "upscale", "lift", "total"} <= set(timings)
    assert all(seconds >= 0 for seconds in timings.values()) and timings["total"] > timings["encode"] > 0


def test_a_dialogue_reads_the_turns_before(tmp_path):
    """The second prompt begins with all of the first one and its answer; the first one is as without a dialogue."""
    queries = ["Which thing cuts paper?", "Explain why."]
    chat = ["--mode", "chat", "--max-new-tokens", "8"]
    _, apart = segment(tmp_path / "apart", GOLDEN / "bin_square.png", *chat, queries=queries)
    _, turns = segment(tmp_path / "turns", GOLDEN / "bin_square.png", *chat, "--dialogue", queries=queries)
    assert turns[0]["input_ids"] == apart[0]["input_ids"] and turns[0]["output_ids"] == apart[0]["output_ids"]
    first, second = turns[0]["input_ids"], turns[1]["input_ids"]
    assert second[: len(first)] == first and second.count(-200) == 1
    assert len(second) > len(first) + 8 and apart[1]["input_ids"] != second


@pytest.mark.parametrize("size", [(1, 1), (40, 1)])
def test_tiny_pictures_are_answered(tmp_path, size):
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "tiny.png")
    status, (entry,) = segment(tmp_path / "out", tmp_path / "tiny.png", "--save-logits", queries=["the red thing"])
    assert status == 0 and entry["image_size"] == list(size) and entry["status"] in ("FOUND", "NOT_FOUND")
    with np.load(tmp_path / "out" / "logits_0.npz") as saved:
        assert saved["mask_logits"].shape[1:] == size[::-1] and np.isfinite(saved["mask_logits"]).all()


def test_a_query_longer_than_the_context_is_a_sentence(tmp_path, capsys):
    status, _ = segment(tmp_path / "out", GOLDEN / "bin_square.png", queries=["the red thing " * 2000])
    error = capsys.readouterr().err
    assert status == 1 and not (tmp_path / "out").exists()
    assert error.startswith("lisa segment: --query: the prompt takes ") and "shorten the query" in error
    assert error.count("\n") == 1


def test_a_missing_vision_tower_is_a_sentence(tmp_path, capsys):
    argv = ["--image", str(GOLDEN / "bin_square.png"), "--out", str(tmp_path / "out"), "--query", "the soap"]
    assert main(["segment", *argv, "--model", str(CHECKPOINT), "--vision-tower", str(tmp_path / "nowhere")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"lisa segment: --model {CHECKPOINT}: ") and str(tmp_path / "nowhere") in error
    assert error.count("\n") == 1
