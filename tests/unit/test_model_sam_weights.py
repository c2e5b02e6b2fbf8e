"""SAM from files in segment_anything's form: its names, three sizes, nothing in them run."""

from __future__ import annotations

import os
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from lisa_ros.model.config import CheckpointError
from lisa_ros.model.sam import Sam, SamConfig
from lisa_ros.model.sam.weights import load_sam

TINY = SamConfig(
    image_size=64, width=32, depth=3, heads=2, window_size=2, global_attention=(1,), decoder_mlp=64, iou_hidden=32
)  # fmt: skip
VIT = {  # published sizes: width, depth, heads, global blocks
    "b": (768, 12, 12, (2, 5, 8, 11)),
    "l": (1024, 24, 16, (5, 11, 17, 23)),
    "h": (1280, 32, 16, (7, 15, 23, 31)),
}


@pytest.fixture
def sam():
    torch.manual_seed(0)
    sam = Sam(TINY)
    for parameter in sam.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return sam.eval()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_written_sam_computes_the_same(tmp_path, sam, suffix):
    path = tmp_path / f"sam_vit_x{suffix}"
    (torch.save if suffix == ".pth" else save_file)(sam.state_dict(), path)
    again = load_sam(path)
    assert again.config == TINY
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in sam.state_dict().items())
    picture, prompt = torch.randn(1, 3, 64, 64), torch.randn(2, 256)
    with torch.no_grad():
        expected = sam.masks(sam.image_encoder(picture), prompt)
        assert torch.equal(again.masks(again.image_encoder(picture), prompt), expected)


@pytest.mark.parametrize("name", VIT)
def test_the_published_sizes_are_read_off_the_shapes(name):
    width, depth, heads, blocks = VIT[name]
    config = SamConfig(width=width, depth=depth, heads=heads, global_attention=blocks)
    with torch.device("meta"):
        sam = Sam(config)
    assert SamConfig.from_shapes({key: tuple(value.shape) for key, value in sam.state_dict().items()}) == config


def test_hostile_files_are_refused_and_do_not_run(tmp_path, sam):
    trap = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {trap}",)

    torch.save({**sam.state_dict(), "image_encoder.pos_embed": Hostile()}, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match=r"sam\.pth: refused"):
        load_sam(tmp_path / "sam.pth")
    assert not trap.exists()


def test_other_files_are_named(tmp_path, sam):
    with pytest.raises(CheckpointError, match="no such file"):
        load_sam(tmp_path / "sam.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="other.pth.*pos_embed"):
        load_sam(tmp_path / "other.pth")
    state = sam.state_dict()
    del state["mask_decoder.iou_token.weight"]
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match="unexpected extra; missing mask_decoder.iou_token.weight"):
        load_sam(tmp_path / "part.pth")


@pytest.fixture
def segment_anything():
    """The real package, where it is installed."""
    try:
        import segment_anything
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another build than torch
        pytest.skip(f"segment_anything cannot be imported: {error}")
    return segment_anything


@pytest.mark.parametrize("name", VIT)
def test_segment_anything_has_the_same_names_and_shapes(segment_anything, name):
    with torch.device("meta"):
        reference = segment_anything.sam_model_registry[f"vit_{name}"]().state_dict()
        shapes = {key: tuple(value.shape) for key, value in reference.items()}
        sam = Sam(SamConfig.from_shapes(shapes))
    assert {key: tuple(value.shape) for key, value in sam.state_dict().items()} == shapes


def test_segment_anything_agrees(tmp_path, segment_anything):
    """Same embedding, same masks of a text-like prompt."""
    package = segment_anything.modeling
    torch.manual_seed(0)
    size, width, dim = 64, 32, 256
    reference = package.Sam(
        image_encoder=package.ImageEncoderViT(
            depth=3, embed_dim=width, img_size=size, mlp_ratio=4, num_heads=2, patch_size=16,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), qkv_bias=True, use_rel_pos=True, global_attn_indexes=[1],
            window_size=2, out_chans=dim,
        ),
        prompt_encoder=package.PromptEncoder(
            embed_dim=dim, image_embedding_size=(4, 4), input_image_size=(size, size), mask_in_chans=16
        ),
        mask_decoder=package.MaskDecoder(
            transformer=package.TwoWayTransformer(depth=2, embedding_dim=dim, mlp_dim=2048, num_heads=8),
            num_multimask_outputs=3, transformer_dim=dim, iou_head_depth=3, iou_head_hidden_dim=256,
        ),
    ).eval()  # fmt: skip
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save(reference.state_dict(), tmp_path / "sam.pth")
    sam = load_sam(tmp_path / "sam.pth")
    picture, prompts = torch.randn(1, 3, size, size), torch.randn(2, dim)
    with torch.no_grad():
        embedding = reference.image_encoder(picture)
        _, dense = reference.prompt_encoder(points=None, boxes=None, masks=None)
        masks = [
            reference.mask_decoder(
                embedding, reference.prompt_encoder.get_dense_pe(), prompt[None, None], dense, multimask_output=False
            )[0]
            for prompt in prompts
        ]
        assert torch.allclose(sam.image_encoder(picture), embedding, atol=1e-5)
        assert torch.allclose(sam.masks(sam.image_encoder(picture), prompts), torch.cat(masks)[:, 0], atol=1e-4)
