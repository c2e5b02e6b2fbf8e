"""The published layouts: names and shapes are written out here, not taken from the code under test."""

from __future__ import annotations

from math import prod

import pytest
import torch

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.published import PUBLISHED, published_config, published_dtype

SIZES = {  # d, intermediate, layers, vocabulary, projector
    "7b": (4096, 11008, 32, 32004, "linear"),
    "13b": (5120, 13824, 40, 32003, "linear"),
    "llava-1.5-7b": (4096, 11008, 32, 32003, "mlp2x_gelu"),
    "llava-1.5-13b": (5120, 13824, 40, 32003, "mlp2x_gelu"),
}


def linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def sam_vit_h() -> dict[str, tuple[int, ...]]:
    encoder = {
        "pos_embed": (1, 64, 64, 1280),
        "patch_embed.proj.weight": (1280, 3, 16, 16),
        "patch_embed.proj.bias": (1280,),
    }
    for i in range(32):
        span = 127 if i in (7, 15, 23, 31) else 27
        encoder |= norm(f"blocks.{i}.norm1", 1280) | norm(f"blocks.{i}.norm2", 1280)
        encoder |= linear(f"blocks.{i}.attn.qkv", 3840, 1280) | linear(f"blocks.{i}.attn.proj", 1280, 1280)
        encoder |= {f"blocks.{i}.attn.rel_pos_{axis}": (span, 80) for axis in "hw"}
        encoder |= linear(f"blocks.{i}.mlp.lin1", 5120, 1280) | linear(f"blocks.{i}.mlp.lin2", 1280, 5120)
    encoder |= (
        {"neck.0.weight": (256, 1280, 1, 1), "neck.2.weight": (256, 256, 3, 3)}
        | norm("neck.1", 256)
        | norm("neck.3", 256)
    )

    prompt = {"pe_layer.positional_encoding_gaussian_matrix": (2, 128)}
    prompt |= {f"point_embeddings.{i}.weight": (1, 256) for i in range(4)}
    prompt |= {"not_a_point_embed.weight": (1, 256), "no_mask_embed.weight": (1, 256)}
    prompt |= {"mask_downscaling.0.weight": (4, 1, 2, 2), "mask_downscaling.0.bias": (4,)} | norm(
        "mask_downscaling.1", 4
    )
    prompt |= {"mask_downscaling.3.weight": (16, 4, 2, 2), "mask_downscaling.3.bias": (16,)} | norm(
        "mask_downscaling.4", 16
    )
    prompt |= {"mask_downscaling.6.weight": (256, 16, 1, 1), "mask_downscaling.6.bias": (256,)}

    decoder = {"iou_token.weight": (1, 256), "mask_tokens.weight": (4, 256)}
    for layer in (0, 1):
        at = f"transformer.layers.{layer}"
        decoder |= attention(f"{at}.self_attn", 256)
        decoder |= attention(f"{at}.cross_attn_token_to_image", 128) | attention(f"{at}.cross_attn_image_to_token", 128)
        for i in (1, 2, 3, 4):
            decoder |= norm(f"{at}.norm{i}", 256)
        decoder |= linear(f"{at}.mlp.lin1", 2048, 256) | linear(f"{at}.mlp.lin2", 256, 2048)
    decoder |= attention("transformer.final_attn_token_to_image", 128) | norm("transformer.norm_final_attn", 256)
    decoder |= {"output_upscaling.0.weight": (256, 64, 2, 2), "output_upscaling.0.bias": (64,)} | norm(
        "output_upscaling.1", 64
    )
    decoder |= {"output_upscaling.3.weight": (64, 32, 2, 2), "output_upscaling.3.bias": (32,)}
    for i in range(4):
        at = f"output_hypernetworks_mlps.{i}.layers"
        decoder |= linear(f"{at}.0", 256, 256) | linear(f"{at}.1", 256, 256) | linear(f"{at}.2", 32, 256)
    at = "iou_prediction_head.layers"
    decoder |= linear(f"{at}.0", 256, 256) | linear(f"{at}.1", 256, 256) | linear(f"{at}.2", 4, 256)

    assert (len(encoder), len(prompt), len(decoder)) == (457, 17, 120)
    parts = {"image_encoder": encoder, "prompt_encoder": prompt, "mask_decoder": decoder}
    return {f"{part}.{name}": shape for part, held in parts.items() for name, shape in held.items()}


def attention(name: str, inner: int) -> dict[str, tuple[int, ...]]:
    keys: dict[str, tuple[int, ...]] = {}
    for part in "qkv":
        keys |= linear(f"{name}.{part}_proj", inner, 256)
    return keys | linear(f"{name}.out_proj", 256, inner)


def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    d, inner, layers, vocabulary, projector = SIZES[name]
    shapes = {
        "model.embed_tokens.weight": (vocabulary, d),
        "lm_head.weight": (vocabulary, d),
        "model.norm.weight": (d,),
    }
    for i in range(layers):
        at = f"model.layers.{i}"
        shapes |= {f"{at}.self_attn.{part}_proj.weight": (d, d) for part in "qkvo"}
        shapes |= {f"{at}.mlp.{part}_proj.weight": (inner, d) for part in ("gate", "up")}
        shapes |= {f"{at}.mlp.down_proj.weight": (d, inner)}
        shapes |= {f"{at}.input_layernorm.weight": (d,), f"{at}.post_attention_layernorm.weight": (d,)}
    if projector == "linear":
        shapes |= linear("model.mm_projector", d, 1024)
    else:
        shapes |= linear("model.mm_projector.0", d, 1024) | linear("model.mm_projector.2", d, d)
    shapes |= linear("model.text_hidden_fcs.0.0", d, d) | linear("model.text_hidden_fcs.0.2", 256, d)
    return shapes | {f"model.visual_model.{key}": shape for key, shape in sam_vit_h().items()}


@pytest.fixture(scope="module", params=list(PUBLISHED))
def layout(request):
    with torch.device("meta"):
        lisa = Lisa(published_config(request.param))
    return request.param, lisa


def test_names_and_shapes_are_exactly_the_published_ones(layout):
    name, lisa = layout
    held = {key: tuple(value.shape) for key, value in lisa.state_dict().items() if not key.startswith("vision_tower.")}
    assert held == published_shapes(name)


def test_parameter_counts(layout):
    name, lisa = layout
    counts = {key: prod(shape) for key, shape in published_shapes(name).items()}

    def count(*prefixes: str) -> int:
        return sum(value for key, value in counts.items() if key.startswith(prefixes))

    assert count("model.visual_model.image_encoder.") == 637_026_048
    assert count("model.visual_model.prompt_encoder.") == 6_476
    assert count("model.visual_model.mask_decoder.") == 4_058_340
    language = count("model.embed_tokens.", "model.layers.", "model.norm.", "lm_head.")
    held = sum(value.numel() for key, value in lisa.state_dict().items() if not key.startswith("vision_tower."))
    assert held == sum(counts.values())
    if name == "7b":
        assert language == 6_738_448_384
        assert count("model.mm_projector.") == 4_198_400
        assert count("model.text_hidden_fcs.") == 17_830_144


@pytest.mark.parametrize(("name", "tensors", "gigabytes"), [("7b", 891, 16.121), ("13b", 963, 28.717)])
def test_stored_precisions_give_the_published_file_sizes(name, tensors, gigabytes):
    shapes = published_shapes(name)
    assert len(shapes) == tensors
    assert sum(prod(shape) * published_dtype(key).itemsize for key, shape in shapes.items()) / 1e9 == pytest.approx(
        gigabytes, abs=6e-4
    )


def test_the_picture_takes_as_many_positions_as_its_tower_sees_patches(layout):
    name, lisa = layout
    patches = 576 if name.startswith("llava-1.5") else 256
    assert lisa.config.vision.patches == patches
    assert lisa.vision_tower.state_dict()["embeddings.position_embedding.weight"].shape == (patches + 1, 1024)


def test_unknown_layouts_are_named():
    with pytest.raises(ValueError, match="llava-1.5-13b"):
        published_config("70b")
