"""The engine on a GPU: the golden cases, both accelerations, and that the hot path never waits. Skipped where there is
none."""

import numpy as np
import pytest
import torch
from golden import CASES, CHECKPOINT, VISION_TOWER, read_case

from lisa_ros.engine import Engine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compiled"])
def engines(request):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    options = {"vision_tower": VISION_TOWER, "device": "cuda", "dtype": "float32", "compile": request.param}
    return {name: Engine.load(CHECKPOINT, conversation=name, **options) for name in ("llava_v1", "llava_llama_2")}


@pytest.mark.parametrize("name", CASES)
def test_golden_cases(engines, name):
    case = read_case(name)
    engine = engines[case.about["conv_type"]]
    encoded = engine.encode(case.image)
    text = case.about["user_text"]
    forced = engine.ask(encoded, [text], raw=True, answer=case.about["answer"], keep_logits=True)[0]
    limit = case.about["runs"]["natural"]["max_new_tokens"]
    said = engine.ask(encoded, [text], mode="chat", raw=True, keep_logits=True, max_new_tokens=limit)[0]
    for segmentation, prefix, ids in (
        (forced, "tf", "tf/input_ids"),
        (said, "eval/natural", "eval/natural/output_ids"),
    ):
        assert segmentation.input_ids + segmentation.output_ids == case.arrays[ids][0].tolist()
        np.testing.assert_allclose(segmentation.seg_embeddings, case.arrays[f"{prefix}/seg_embeddings"], atol=1e-4)
        np.testing.assert_allclose(segmentation.low_res_logits, case.arrays[f"{prefix}/low_res"][:, 0], atol=1e-3)


def test_several_chats_in_one_batch(engines):
    case, engine = read_case("p0"), engines["llava_v1"]
    encoded = engine.encode(case.image)
    queries = [read_case(name).about["user_text"] for name in ("p0", "p2", "p4", "p6")]
    options = {"mode": "chat", "raw": True, "keep_logits": True, "max_new_tokens": 12}
    for query, segmentation in zip(queries, engine.ask(encoded, queries, **options)):
        alone = engine.ask(encoded, [query], **options)[0]
        assert alone.output_ids == segmentation.output_ids
        np.testing.assert_allclose(alone.mask_logits, segmentation.mask_logits, atol=1e-3)


def test_encoding_and_reading_never_wait_for_the_device(engines):
    from lisa_ros.engine.reading import force

    case, engine = read_case("p0"), engines["llava_v1"]
    prompts = [engine._prompter.prompt("the thing", "{query}")]
    for round_number in range(2):  # the first round may compile and capture
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if round_number else "default")
        try:
            with torch.inference_mode():
                encoded = engine.encode(case.image)
                force(engine._reader, engine._prompter, encoded.prefix, prompts, "[SEG].")
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantised_weights(quantization):
    case = read_case("p0")
    options = {"vision_tower": VISION_TOWER, "device": "cuda", "dtype": "bfloat16"}
    plain, small = (Engine.load(CHECKPOINT, quantization=q, **options) for q in ("none", quantization))
    masks = [e.ask(e.encode(case.image), [case.about["user_text"]], raw=True)[0].masks[0] for e in (plain, small)]
    assert (masks[0] & masks[1]).sum() / max(1, (masks[0] | masks[1]).sum()) > 0.8


def test_close_gives_the_memory_back():
    before = torch.cuda.memory_allocated()
    engine = Engine.load("lisa-mini", device="cuda")
    assert torch.cuda.memory_allocated() > before
    engine.close()
    del engine
    assert torch.cuda.memory_allocated() <= before + 2**20
