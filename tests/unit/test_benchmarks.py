"""The scripts in benchmarks/ that compare: they must see a difference where there is one, and none where there is none."""

from __future__ import annotations

import importlib.util
import sys
from argparse import Namespace

import numpy as np
import pytest
import torch
from golden import read_case

from lisa_ros.engine import Segmentation


@pytest.fixture(scope="module")
def script(repository):
    """Loads benchmarks/NAME.py."""

    def load(name: str):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", repository / "benchmarks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize(("windows", "side"), [(1, 6), (3, 4)])
def test_all_ways_of_sams_attention_are_the_same_attention(script, windows, side):
    benchmark = script("sam_attention")
    args = Namespace(heads=2, device="cpu", dtype="float32")
    outputs = {}
    for way in benchmark.WAYS:
        if way == "flex":  # compiles for half a minute
            continue
        torch.manual_seed(0)
        with torch.inference_mode():
            outputs[way] = benchmark.packed_way(way, windows, side, args)()
    assert outputs["image_encoder.py"].std() > 0.1
    for way, output in outputs.items():
        torch.testing.assert_close(output, outputs["image_encoder.py"], atol=1e-5, rtol=0, msg=way)


def test_parity_of_pictures_and_strings(script):
    parity = script("parity")
    pictures, strings = parity.picture_rows(), parity.tokenizer_rows()
    assert len(pictures) == 5 and all(row["clip_equal"] and row["sam_equal"] for row in pictures)
    assert [row["count"] for row in strings if row["kind"] == "strings"] == [54, 54]
    assert all(row["equal"] == row["count"] for row in strings)


@pytest.fixture
def recorded():
    """Case p0 and a segmentation that is exactly what was recorded for it."""
    case = read_case("p0")
    masks = case.masks("tf/pred_masks_bits")
    logits = np.where(masks, 1.0, -1.0).astype(np.float32)
    logits[:, ::16, ::16] = case.arrays["tf/pred_masks_every16"]
    ids = case.arrays["tf/input_ids"][0].tolist()
    return case, Segmentation(
        query="",
        answer="",
        target_probability=1.0,
        masks=masks.copy(),
        mask_scores=np.ones(1, np.float32),
        input_ids=ids[:40],
        output_ids=ids[40:],
        mask_logits=logits,
        low_res_logits=case.arrays["tf/low_res"][:, 0].copy(),
        seg_embeddings=case.arrays["tf/seg_embeddings"].copy(),
    )


def compared(script, recorded):
    case, segmentation = recorded
    return script("parity").compare(case, "p0", "tf", case.arrays["tf/input_ids"][0], segmentation)


def test_parity_of_what_was_recorded(script, recorded):
    row = compared(script, recorded)
    assert row.good and row.ids_equal and (row.seg_embeddings, row.low_res, row.logits) == (0.0, 0.0, 0.0)
    assert (row.pixels_differing, row.pixels) == (0, 480 * 640)


def test_parity_sees_what_differs(script, recorded):
    _, segmentation = recorded
    segmentation.seg_embeddings[0, 3] += 2e-4
    assert not compared(script, recorded).good
    segmentation.seg_embeddings[0, 3] -= 2e-4
    assert compared(script, recorded).good
    segmentation.masks[0, 5, 5] ^= True
    assert compared(script, recorded).pixels_differing == 1
    segmentation.mask_logits[0, 5, 5] = 5e-4  # so near to the edge either side is right
    assert compared(script, recorded).good
    segmentation.output_ids[-1] += 1
    assert not compared(script, recorded).good


def test_parity_sees_a_mask_too_many(script, recorded):
    _, segmentation = recorded
    segmentation.masks = np.concatenate([segmentation.masks] * 2)
    row = compared(script, recorded)
    assert not row.good and row.instances == 2
