"""Starting points: LLaVA + SAM + CLIP put together, and a LISA that goes on with everything it has learned."""

import json
import shutil

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import SAM_PREFIX, CheckpointError
from lisa_ros.training.start import Start, start_model

STORED = "pytorch_model.bin"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A LLaVA as published (no [SEG], no markers) and a SAM as segment_anything writes it, of the golden checkpoint's weights."""
    folder = tmp_path_factory.mktemp("parts")
    tensors = torch.load(CHECKPOINT / STORED, weights_only=True)
    sam = {name.removeprefix(SAM_PREFIX): value for name, value in tensors.items() if name.startswith(SAM_PREFIX)}
    torch.save(sam, folder / "sam.pth")
    llava = folder / "llava"
    llava.mkdir()
    rest = {name: value for name, value in tensors.items() if not name.startswith((SAM_PREFIX, "model.text_hidden_fcs."))}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rest[name] = rest[name][:1000].clone()
    torch.save(rest, llava / STORED)
    config = json.loads((CHECKPOINT / "config.json").read_text()) | {"vocab_size": 1000, "mm_use_im_start_end": False}
    del config["out_dim"]
    (llava / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copyfile(CHECKPOINT / name, llava / name)
    return folder


def from_llava(parts, work, **changes):
    settings = {"llava": str(parts / "llava"), "sam": str(parts / "sam.pth"), "vision_tower": str(VISION_TOWER)} | changes
    return start_model(Start(**settings), work)


def test_llava_and_sam_make_a_lisa(parts, tmp_path):
    started = from_llava(parts, tmp_path, conversation="llava_llama_2")
    whole, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    assert started.tokenizer.added_tokens == {"[SEG]": 1000, "<im_start>": 1001, "<im_end>": 1002}  # the reference's order
    assert started.lisa.config.conversation == "llava_llama_2" and started.lisa.config.image_markers
    ours, theirs = started.lisa.state_dict(), whole.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert torch.equal(ours[name][:1000], value[:1000]) and ours[name].shape == value.shape
        elif "text_hidden_fcs" not in name:
            assert torch.equal(ours[name], value), name
    assert ours["lm_head.weight"][1000:].std() == pytest.approx(0.02, rel=0.2)


def test_equal_seeds_begin_alike(parts, tmp_path):
    one, two = (from_llava(parts, tmp_path / str(n)).lisa.state_dict() for n in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_lisa_keeps_all_it_has(tmp_path):
    """The reference begins head and decoder anew here (#159) and fails (#188)."""
    started = start_model(Start(lisa=str(CHECKPOINT), vision_tower=str(VISION_TOWER)), tmp_path)
    whole, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in started.lisa.state_dict().items())
    assert started.tokenizer.added_tokens == tokenizer.added_tokens


def test_parts_of_a_lisa_stand_in_for_llava_and_sam(tmp_path):
    started = start_model(Start(llava=str(CHECKPOINT), sam=str(CHECKPOINT), vision_tower=str(VISION_TOWER)), tmp_path)
    whole, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    assert started.tokenizer.seg_id != tokenizer.seg_id  # a new token: its old row belongs to the old head
    head = "model.text_hidden_fcs.0.0.weight"
    assert not torch.equal(started.lisa.state_dict()[head], whole.state_dict()[head])
    assert torch.equal(started.lisa.sam.image_encoder.pos_embed, whole.sam.image_encoder.pos_embed)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sam": "nowhere.pth"}, "start.sam nowhere.pth: no such file"),
        ({"llava": "/no/llava"}, "/no/llava"),
        ({"vision_tower": None}, "vision_tower"),
    ],
)
def test_what_is_missing_is_named(parts, tmp_path, changes, said):
    with pytest.raises(CheckpointError, match=said):
        from_llava(parts, tmp_path, **changes)


def test_parts_that_do_not_go_together(parts, tmp_path):
    sam = torch.load(parts / "sam.pth", weights_only=True)
    del sam["mask_decoder.mask_tokens.weight"]
    torch.save(sam, tmp_path / "short.pth")
    with pytest.raises(CheckpointError, match="mask_tokens"):
        from_llava(parts, tmp_path / "work", sam=str(tmp_path / "short.pth"))


@pytest.mark.parametrize("settings", [{}, {"lisa": "a", "llava": "b", "sam": "c"}, {"llava": "b"}, {"lisa": "a", "sam": "c"}])
def test_either_a_lisa_or_its_parts(settings):
    with pytest.raises(ValueError, match="start:"):
        Start(**settings)
