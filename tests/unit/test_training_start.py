"""Starting points: LLaVA + SAM + CLIP put together, and a LISA that goes on with everything it has learned."""

import json
import shutil

import numpy as np
import pytest
import torch
from golden import CHECKPOINT, GOLDEN, VISION_TOWER

from lisa_ros.datasets.example import Example
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import SAM_PREFIX, CheckpointError
from lisa_ros.model.sam import Sam, SamConfig
from lisa_ros.training.collation import collate
from lisa_ros.training.losses import Objective
from lisa_ros.training.start import Start, start_model
from lisa_ros.training.trainable import Trainable, make_trainable

STORED = "pytorch_model.bin"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with llava/, the recorded base, and sam.pth as segment_anything writes it, of the golden checkpoint."""
    folder = tmp_path_factory.mktemp("parts")
    tensors = torch.load(CHECKPOINT / STORED, weights_only=True)
    sam = {name.removeprefix(SAM_PREFIX): value for name, value in tensors.items() if name.startswith(SAM_PREFIX)}
    torch.save(sam, folder / "sam.pth")
    shutil.copytree(GOLDEN / "base_llava", folder / "llava")
    return folder


def from_llava(parts, work, **changes):
    settings = {"llava": str(parts / "llava"), "sam": str(parts / "sam.pth"), "vision_tower": str(VISION_TOWER)}
    return start_model(Start(**settings | changes), work)


def test_llava_and_sam_make_a_lisa(parts, tmp_path):
    started = from_llava(parts, tmp_path, conversation="llava_llama_2")
    in_the_references_order = {"[SEG]": 1000, "<im_start>": 1001, "<im_end>": 1002}
    assert started.tokenizer.added_tokens == in_the_references_order
    assert started.lisa.config.conversation == "llava_llama_2" and started.lisa.config.image_markers
    whole, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    llava = torch.load(parts / "llava" / STORED, weights_only=True)
    ours, theirs = started.lisa.state_dict(), whole.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.shape == theirs[name].shape
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert torch.equal(value[:1000], llava[name].float())
        elif name in llava:
            assert torch.equal(value, llava[name].float()), name
        elif "text_hidden_fcs" not in name:
            assert torch.equal(value, theirs[name]), name
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
    assert started.tokenizer.added_tokens == tokenizer.added_tokens  # no second [SEG]
    ours, theirs = started.lisa.state_dict(), whole.state_dict()
    tables = ("model.embed_tokens.weight", "lm_head.weight")
    for table in tables:  # its old row was learned with the old head
        differing = (ours[table] != theirs[table]).any(1).nonzero().flatten().tolist()
        assert ours[table].shape == theirs[table].shape and differing == [tokenizer.seg_id]
    for name, value in ours.items():
        if name not in tables:
            assert torch.equal(value, theirs[name]) == ("text_hidden_fcs" not in name), name


@pytest.mark.parametrize(
    ("name", "depth", "heads", "blocks"), [("b", 12, 12, (2, 5, 8, 11)), ("l", 24, 16, (5, 11, 17, 23))]
)
def test_smaller_sams_take_the_place_of_vit_h(parts, tmp_path, name, depth, heads, blocks):
    """Depth, heads and global blocks of the published ViT-B and ViT-L, 8 channels a head."""
    config = SamConfig(image_size=256, width=8 * heads, depth=depth, heads=heads, global_attention=blocks)
    torch.manual_seed(0)
    sam = Sam(config)
    torch.save(sam.state_dict(), tmp_path / f"sam_vit_{name}.pth")
    started = from_llava(parts, tmp_path / "work", sam=str(tmp_path / f"sam_vit_{name}.pth"))
    assert started.lisa.config.sam == config
    assert all(torch.equal(value, started.lisa.sam.state_dict()[key]) for key, value in sam.state_dict().items())
    make_trainable(started.lisa, Trainable())
    asked = (("Can you segment the cup in this image?", "It is [SEG]."),)
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    example = Example("cup", picture, None, (asked,), picture[None, ..., 0] > 99)
    losses = Objective(started.lisa)(collate([example], started.lisa.config, started.tokenizer))
    losses["loss"].backward()
    assert losses["bce"] > 0 and started.lisa.sam.mask_decoder.mask_tokens.weight.grad.any()


def test_a_sam_from_nothing_learns_whole(parts, tmp_path):
    llava = tmp_path / "llava"
    shutil.copytree(parts / "llava", llava)
    config = json.loads((llava / "config.json").read_text())
    small = {"image_size": 64, "width": 32, "depth": 2, "heads": 2, "window_size": 2, "global_attention": [1]}
    (llava / "config.json").write_text(json.dumps(config | {"lisa_ros": {"sam": small}}))
    one, two = (from_llava(parts, tmp_path / str(n), llava=str(llava), sam="scratch").lisa for n in range(2))
    assert one.config.sam.width == 32 and one.sam.image_encoder.pos_embed.std() > 0
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    counts = make_trainable(one, Trainable(image_encoder=True))
    assert counts["image_encoder"] == sum(parameter.numel() for parameter in one.sam.image_encoder.parameters())


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


def test_a_file_that_is_no_sam_is_named(parts, tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    for sam in (str(tmp_path / "other.pth"), str(parts / "llava")):
        with pytest.raises(CheckpointError, match=f"start.sam {sam}: .*pos_embed.* is missing"):
            from_llava(parts, tmp_path / "work", sam=sam)


def test_parts_that_do_not_go_together(parts, tmp_path):
    sam = torch.load(parts / "sam.pth", weights_only=True)
    del sam["mask_decoder.mask_tokens.weight"]
    torch.save(sam, tmp_path / "short.pth")
    with pytest.raises(CheckpointError, match="mask_tokens"):
        from_llava(parts, tmp_path / "work", sam=str(tmp_path / "short.pth"))


@pytest.mark.parametrize(
    "settings", [{}, {"lisa": "a", "llava": "b", "sam": "c"}, {"llava": "b"}, {"lisa": "a", "sam": "c"}]
)
def test_either_a_lisa_or_its_parts(settings):
    with pytest.raises(ValueError, match="start:"):
        Start(**settings)
