"""config.json is read as published files write it, and what would be computed wrongly is refused by the key's name."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.model.config import CheckpointError, VisionConfig, named_grid
from lisa_ros.model.inventory import stored_name, take_inventory


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")


@pytest.fixture
def tower(tmp_path):
    return shutil.copytree(VISION_TOWER, tmp_path / "tower")


def edit(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(directory, change):
    path = directory / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


def test_the_golden_checkpoint_is_read_as_written():
    config = take_inventory(CHECKPOINT, VISION_TOWER).config
    assert config.language.max_position_embeddings == 4096 and config.language.rms_norm_eps == 1e-5
    assert config.language.rope_theta == 10000.0
    assert (config.projector, config.select_layer, config.image_markers) == ("linear", -2, True)
    assert config.vision_tower == "openai/clip-vit-large-patch14" and config.vision.patches == 256
    assert (config.sam.width, config.sam.depth, config.sam.heads, config.sam.global_attention) == (48, 2, 2, (1,))


def test_settings_that_change_the_model_are_followed(copy):
    edit(copy, mm_use_im_start_end=False, rope_theta=50000.0, mm_vision_select_layer=-1)
    config = take_inventory(copy, VISION_TOWER).config
    assert not config.image_markers and config.to_json()["mm_use_im_start_end"] is False
    assert config.language.rope_theta == 50000.0 and config.select_layer == -1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 10000.0}),
        ("mm_vision_select_feature", "cls_patch"),
        ("mm_projector_type", "resampler"),
        ("tie_word_embeddings", True),
        ("hidden_act", "gelu"),
        ("mm_hidden_size", 1024),
        ("mm_vision_select_layer", -7),
        ("mm_vision_select_layer", "last"),
        ("num_attention_heads", 5),
        ("vocab_size", "1003"),
        ("hidden_size", None),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(copy, key, value):
    edit(copy, **{key: value})
    with pytest.raises(CheckpointError, match=key):
        take_inventory(copy, VISION_TOWER)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "\xff"])
def test_a_broken_config_is_named(copy, text):
    (copy / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match="config.json"):
        take_inventory(copy, VISION_TOWER)


def test_the_projector_is_seen_in_the_tensors(copy):
    def two_layers(tensors):
        weight, bias = tensors.pop("model.mm_projector.weight"), tensors.pop("model.mm_projector.bias")
        tensors |= {"model.mm_projector.0.weight": weight, "model.mm_projector.0.bias": bias}
        tensors |= {"model.mm_projector.2.weight": torch.eye(64), "model.mm_projector.2.bias": torch.zeros(64)}

    edit_weights(copy, two_layers)
    inventory = take_inventory(copy, VISION_TOWER)
    assert inventory.config.projector == "mlp2x_gelu" and not inventory.problems


def test_a_declared_projector_that_contradicts_the_tensors_is_a_problem(copy):
    edit(copy, mm_projector_type="mlp2x_gelu")
    problems = take_inventory(copy, VISION_TOWER).problems
    assert "unexpected model.mm_projector.weight" in problems and "missing model.mm_projector.2.bias" in problems


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("openai/clip-vit-large-patch14", (224, 14)),
        ("openai/clip-vit-large-patch14-336", (336, 14)),
        ("/data/models/clip-vit-base-patch16/", (224, 16)),
        ("somebody/siglip", None),
        (None, None),
    ],
)
def test_a_towers_name_tells_its_grid(name, grid):
    assert named_grid(name) == grid


def test_a_tower_with_another_grid_than_the_named_one_is_refused(copy, tower):
    edit(copy, vision_tower="openai/clip-vit-large-patch14-336")
    with pytest.raises(CheckpointError, match=r"256 patches.*336 pixels") as caught:
        take_inventory(copy, tower)
    assert str(tower) in str(caught.value)
    edit(copy, vision_tower="somebody/vision-transformer")  # a name that says nothing: the given tower is taken
    assert take_inventory(copy, tower).config.vision.image_size == 224


def test_a_tower_that_contradicts_its_own_config_is_refused(copy, tower):
    config = json.loads((tower / "config.json").read_text())
    config["vision_config"]["image_size"] = 336
    (tower / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="257 rows"):
        take_inventory(copy, tower)


def test_a_directory_that_is_no_clip_is_refused(copy, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"hidden_size": 8}')
    with pytest.raises(CheckpointError, match="not a CLIP vision tower"):
        take_inventory(copy, other)


def embed_tower(copy):
    """Put the tower into the checkpoint as LLaVA-1.5 descendants do: under the reference's name, sizes nowhere."""
    tower = take_inventory(CHECKPOINT, VISION_TOWER)
    source = torch.load(VISION_TOWER / "pytorch_model.bin", weights_only=True)
    parts = {
        stored_name(key): source[header.name]
        for key, header in tower.tensors.items()
        if key.startswith("vision_tower.")
    }
    edit_weights(copy, lambda tensors: tensors.update(parts))


def test_a_tower_inside_the_checkpoint_is_measured(copy):
    embed_tower(copy)
    inventory = take_inventory(copy)
    vision = inventory.config.vision
    assert (vision.image_size, vision.patch_size, vision.hidden_size, vision.num_hidden_layers) == (224, 14, 48, 3)
    assert not inventory.problems and inventory.tower is None and inventory.has_tower
    shapes = {
        "embeddings.patch_embedding.weight": (1024, 3, 14, 14),
        "embeddings.position_embedding.weight": (577, 1024),
        "encoder.layers.0.mlp.fc1.weight": (4096, 1024),
        **{f"encoder.layers.{i}.layer_norm1.weight": (1024,) for i in range(24)},
    }
    assert VisionConfig.from_shapes(shapes) == VisionConfig(image_size=336)


def test_another_tower_than_the_one_inside_must_have_its_sizes(copy, tower):
    embed_tower(copy)
    edit(
        copy,
        lisa_ros={"vision": json.loads(json.dumps(take_inventory(CHECKPOINT, VISION_TOWER).config.vision.__dict__))},
    )
    assert take_inventory(copy, tower).tower == tower  # same sizes: the user's choice wins
    config = json.loads((tower / "config.json").read_text())
    config["vision_config"]["num_attention_heads"] = 6
    (tower / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="leave out --vision-tower"):
        take_inventory(copy, tower)


def test_a_tower_config_may_leave_out_transformers_defaults(tower):
    config = json.loads((tower / "config.json").read_text())
    for key in ("image_size", "hidden_act", "layer_norm_eps"):
        del config["vision_config"][key]
    (tower / "config.json").write_text(json.dumps(config))
    vision = take_inventory(CHECKPOINT, tower).config.vision
    assert (vision.image_size, vision.hidden_act, vision.layer_norm_eps) == (224, "quick_gelu", 1e-5)
