"""A LISA from a language model that knows no pictures: what begins anew, what is trained, what a run keeps of it."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER
from tiny_gguf import WIDTH, language, vocabulary, write

from lisa_ros.cli.main import main
from lisa_ros.datasets.example import Example
from lisa_ros.engine import Engine
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.gguf_language import convert_gguf
from lisa_ros.training.adapter import TRAINED, load_adapter, save_adapter
from lisa_ros.training.collation import collate
from lisa_ros.training.losses import Objective
from lisa_ros.training.merge import merged_tensors
from lisa_ros.training.recipe import RecipeError, read_recipe
from lisa_ros.training.start import Start, start_model
from lisa_ros.training.token_rows import TokenRows
from lisa_ros.training.trainable import NEW, Trainable, make_trainable, trained_parameters

SMALL = Trainable(embeddings=NEW, lm_head=NEW, projector=True)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    convert_gguf(write(folder / "a.gguf", language()), folder / "language", torch.float32)
    return Start(language=str(folder / "language"), sam=str(CHECKPOINT), vision_tower=str(VISION_TOWER))


def batch(started):
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    example = Example("a", picture, None, ((("the cup", "It is [SEG]."),),), picture[None, ..., 0] > 99)
    return collate([example], started.lisa.config, started.tokenizer)


def test_words_and_towers_stay_and_the_rest_is_new(start, tmp_path):
    started, again = (start_model(start, tmp_path / str(n)) for n in range(2))
    model, lisa = language(), started.lisa
    known = len(vocabulary()[0])
    assert started.tokenizer.own_ids == [known, known + 1, known + 2]
    assert torch.equal(lisa.model.embed_tokens.weight[:known], model.model.embed_tokens.weight)
    assert torch.equal(lisa.lm_head.weight[:known], model.lm_head.weight)
    assert lisa.lm_head.weight.data_ptr() != lisa.model.embed_tokens.weight.data_ptr()
    assert lisa.config.conversation == "chatml" and lisa.config.projector == "mlp2x_gelu"
    assert lisa.model.mm_projector[0].out_features == WIDTH
    golden, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    for part in ("model.visual_model", "vision_tower"):
        theirs = golden.get_submodule(part).state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in lisa.get_submodule(part).state_dict().items())
    assert all(torch.equal(value, again.lisa.state_dict()[name]) for name, value in lisa.state_dict().items())


def test_only_the_new_tokens_rows_are_trained_and_the_projector_learns(start, tmp_path):
    started = start_model(start, tmp_path)
    plain, _ = start_model(start, tmp_path).lisa.eval(), torch.manual_seed(0)
    ids = torch.tensor([[5, *started.tokenizer.own_ids, 7]])
    counts = make_trainable(started.lisa, SMALL, new_tokens=started.tokenizer.own_ids)
    assert counts["embeddings"] == counts["lm_head"] == 3 * WIDTH
    lisa = started.lisa.eval()
    assert torch.equal(lisa.model.embed_tokens(ids), plain.model.embed_tokens(ids))
    hidden = torch.randn(2, WIDTH)
    torch.testing.assert_close(lisa.lm_head(hidden), plain.lm_head(hidden))
    Objective(started.lisa)(batch(started))["loss"].backward()
    learned = trained_parameters(started.lisa)
    assert learned["model.mm_projector.0.weight"].grad.any() and learned["model.embed_tokens.rows"].grad.any()
    assert learned["lm_head.rows"].grad.any() and "lm_head.base_layer.weight" not in learned


def test_rows_in_bfloat16_are_learned_in_float32():
    table = torch.nn.Linear(8, 20, bias=False).bfloat16()
    rows = TokenRows(table, [18, 19])
    assert rows.rows.dtype == torch.float32 and rows(torch.randn(2, 8).bfloat16()).dtype == torch.bfloat16
    rows.rows.data += 1
    assert torch.equal(rows.merged()[:18], table.weight[:18])
    assert torch.equal(rows.merged()[18:], rows.rows.data.bfloat16())


def test_a_run_of_it_is_kept_loaded_and_merged(start, tmp_path):
    started = start_model(start, tmp_path / "tokenizer")
    make_trainable(started.lisa, SMALL, new_tokens=started.tokenizer.own_ids)
    for parameter in trained_parameters(started.lisa).values():
        parameter.data += 0.01 * torch.randn_like(parameter)
    trained = started.lisa.eval()
    (tmp_path / "best").mkdir()
    about = {"start": asdict(start), "trainable": asdict(SMALL), "update": 3}
    save_adapter(tmp_path / "best", trained, tmp_path / "tokenizer", about)
    table = trained.lm_head.base_layer.weight.numel() * 4
    assert (tmp_path / "best" / TRAINED).stat().st_size < table + sum(
        4 * p.numel()
        for n, p in trained_parameters(trained).items()
        if "mm_projector" in n or "visual" in n or "text" in n
    )
    loaded, _ = load_adapter(tmp_path / "best", tmp_path / "work")
    values = loaded.lisa.state_dict()
    assert all(torch.equal(value, values[name]) for name, value in trained.state_dict().items())
    assert main(["merge", str(tmp_path / "best"), "--out", str(tmp_path / "merged"), "--dtype", "float32"]) == 0
    merged, tokenizer = load_checkpoint(tmp_path / "merged", vision_tower=VISION_TOWER)
    assert tokenizer.own_ids == started.tokenizer.own_ids and merged.config.conversation == "chatml"
    stored = merged.state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in merged_tensors(trained))
    ids = torch.tensor([[5, *tokenizer.own_ids, 7]])
    assert torch.equal(merged.model.embed_tokens(ids), trained.model.embed_tokens(ids))


def test_validation_reads_a_model_with_rows_of_its_own(start, tmp_path):
    """The engine's way through a model that is being trained, without merging it."""
    started = start_model(start, tmp_path)
    make_trainable(started.lisa, SMALL, new_tokens=started.tokenizer.own_ids)
    engine = Engine(started.lisa.eval(), started.tokenizer)
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    (answer,) = engine.ask(engine.encode(picture), ["the cup"])
    assert answer.masks.shape == (1, 60, 80) and 0 < answer.target_probability < 1


def test_what_does_not_go_together_is_named(start, tmp_path):
    with pytest.raises(ValueError, match='trainable.lm_head "new": which tokens are new'):
        make_trainable(start_model(start, tmp_path).lisa, Trainable(lm_head=NEW))
    with pytest.raises(ValueError, match="trainable.embeddings 'some': choose from"):
        Trainable(embeddings="some")
    with pytest.raises(ValueError, match="language goes with vision_tower"):
        Start(language="a", sam="b")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: x\nstart: {language: a, sam: b, vision_tower: c}\n"
        "data: {groups: {reasoning: {rate: 1, sets: [reasonseg]}}}\n"
    )
    with pytest.raises(RecipeError, match="trainable.projector: true is needed"):
        read_recipe(recipe)
    assert read_recipe(recipe, ["trainable.projector=true"]).start.base == "language"
    with pytest.raises(CheckpointError, match="nowhere"):
        start_model(
            Start(language=str(tmp_path / "nowhere"), sam=str(CHECKPOINT), vision_tower=str(VISION_TOWER)), tmp_path
        )
