"""A training run that is cut off and started again ends with the weights of one that was not."""

import gc
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from left_garbage import left_garbage
from safetensors.torch import load_file
from tiny_gguf import language, write
from tiny_model import MODEL

from lisa_ros.engine import Engine, embedded
from lisa_ros.model.gguf_language import convert_gguf
from lisa_ros.model.integrity import sha256_of
from lisa_ros.training.adapter import load_adapter
from lisa_ros.training.mini import run
from lisa_ros.training.mini.enlarge import enlarge
from lisa_ros.training.mini.optimizer import OPTIMIZERS
from lisa_ros.training.mini.recipe import RecipeError, read_recipe
from lisa_ros.training.mini.ship import ship
from scannet_tools.synthetic import export

RECIPE = {
    "name": "tiny",
    "seed": 3,
    "vocabulary": 700,
    "model": MODEL,
    "stages": [
        {
            "name": "vision",
            "part": "vision",
            "images": 6,
            "batch": 2,
            "lr": 1.0e-3,
            "names": 3,
            "questions": 0,
            "dense_weight": 1.0,
        },
        {
            "name": "language",
            "part": "language",
            "images": 4,
            "batch": 2,
            "lr": 1.0e-3,
            "questions": 3,
            "align_weight": 1.0,
        },
        {
            "name": "whole",
            "part": "whole",
            "images": 8,
            "batch": 2,
            "lr": 1.0e-3,
            "questions": 3,
            "dense_weight": 0.3,
            "align_weight": 0.3,
        },
    ],
}


@pytest.fixture(autouse=True)
def few_targets(monkeypatch):
    monkeypatch.setattr(run, "HEAD_TARGETS", 8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("shards")
    export.write_shard(directory, "train", 0, 12, 96, 72)
    return directory


def train(data, out, recipe=RECIPE):
    config = out.parent / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe))
    return run.main([str(config), "--data", str(data), "--out", str(out), "--save-every", "2"])


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_cut_off_twice_ends_like_one_that_was_not(optimizer, data, tmp_path, monkeypatch):
    recipe = RECIPE | {"optimizer": optimizer}
    assert train(data, tmp_path / "straight", recipe) == 0
    for updates in (2, 4):  # in the first stage after its first saved state, and in a later one
        calls = 0

        def cut(stage, update, rate=run.Stage.rate, updates=updates):
            nonlocal calls
            calls += 1
            if calls > updates:
                raise PowerCut
            return rate(stage, update)

        with monkeypatch.context() as patch, pytest.raises(PowerCut):
            patch.setattr(run.Stage, "rate", cut)
            train(data, tmp_path / "cut", recipe)
    assert train(data, tmp_path / "cut", recipe) == 0
    straight, cut = (load_file(tmp_path / name / "last" / "model.safetensors") for name in ("straight", "cut"))
    assert straight.keys() == cut.keys()
    for name, tensor in straight.items():
        torch.testing.assert_close(cut[name], tensor, msg=name)
    assert not list(tmp_path.rglob("*.part"))
    rows = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["vision", "language", "whole"]


def test_a_state_of_another_optimizer_is_refused(data, tmp_path, capsys):
    short = RECIPE | {"stages": [RECIPE["stages"][0] | {"images": 2}]}
    assert train(data, tmp_path / "run", short) == 0
    assert train(data, tmp_path / "run", short | {"optimizer": "muon"}) == 1
    assert "state.pt: the state of another optimizer" in capsys.readouterr().err


def test_image_towers_learn_compiled_where_the_recipe_says_so(data, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, *args, **kwargs: compiled.append(type(module).__name__))
    short = RECIPE | {"stages": [RECIPE["stages"][0] | {"images": 2}]}
    assert train(data, tmp_path / "plain", short) == 0 and not compiled
    assert train(data, tmp_path / "compiled", short | {"compile": True}) == 0 and compiled == ["ClipVision", "ImageEncoder"]


LANGUAGE = {
    "name": "tiny",
    "seed": 3,
    "lora": {"rank": 2, "alpha": 4, "dropout": 0.0, "targets": ["q_proj", "v_proj"]},
    "stages": [
        {"name": "words", "part": "words", "images": 4, "batch": 2, "lr": 1.0e-3, "questions": 0},
        {
            "name": "whole",
            "part": "whole",
            "images": 4,
            "batch": 2,
            "lr": 1.0e-3,
            "questions": 3,
            "align_weight": 0.3,
            "absent_weight": 1.0,
        },
    ],
}


def test_a_language_model_learns_on_the_towers_of_an_earlier_run_and_is_shipped(data, tmp_path, monkeypatch):
    convert_gguf(write(tmp_path / "a.gguf", language()), tmp_path / "language", torch.float32)
    assert train(data, tmp_path / "towers") == 0
    towers = tmp_path / "towers" / "last"
    start = {"language": str(tmp_path / "language"), "towers": str(towers), "conversation": "chatml_named"}
    recipe = LANGUAGE | {"start": start}
    assert train(data, tmp_path / "run", recipe) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["words", "whole"] and rows[1]["dice"] > 0

    shipped = ship(tmp_path / "run" / "last", tmp_path / "shipped", "tiny")
    size = sum(path.stat().st_size for path in shipped.iterdir())
    assert size < (tmp_path / "language" / "model.safetensors").stat().st_size + 2e6
    wheel = SimpleNamespace(files=[SimpleNamespace(name="a.gguf", locate=lambda: tmp_path / "a.gguf")])
    monkeypatch.setattr(embedded.metadata, "distribution", lambda name: wheel)
    settings = json.loads((shipped / "config.json").read_text())
    assert settings["lisa_ros"]["sam"]["decoder_heads"] == MODEL["sam"]["decoder_heads"]  # which no tensor's shape tells
    settings["lisa_ros"]["language"]["sha256"] = sha256_of(tmp_path / "a.gguf")
    (shipped / "config.json").write_text(json.dumps(settings))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    engine = Engine.load(embedded.assemble(shipped), device="cpu", dtype="float32")

    started, _ = load_adapter(tmp_path / "run" / "last", tmp_path / "work")
    trained = Engine(started.lisa.eval(), started.tokenizer)
    picture = np.random.default_rng(0).integers(0, 255, (72, 96, 3), np.uint8)
    (ours,), (theirs,) = (
        one.ask(one.encode(picture), ["the red mug"], keep_logits=True) for one in (engine, trained)
    )
    assert ours.input_ids == theirs.input_ids and engine.name == "tiny"
    assert ours.target_probability == pytest.approx(theirs.target_probability, rel=0.02)
    np.testing.assert_allclose(ours.mask_logits, theirs.mask_logits, atol=0.02 * np.abs(theirs.mask_logits).max())


def test_a_later_run_goes_on_with_what_was_shipped(data, tmp_path):
    convert_gguf(write(tmp_path / "a.gguf", language()), tmp_path / "language", torch.float32)
    assert train(data, tmp_path / "towers") == 0
    start = {"language": str(tmp_path / "language"), "towers": str(tmp_path / "towers" / "last")}
    assert train(data, tmp_path / "run", LANGUAGE | {"start": start}) == 0
    shipped = ship(tmp_path / "run" / "last", tmp_path / "shipped", "tiny")
    (tmp_path / "on").mkdir()
    more = {"lora": LANGUAGE["lora"] | {"targets": ["q_proj", "v_proj", "up_proj"]}}
    recipe = read_recipe_of(LANGUAGE | more | {"start": {**start, "shipped": str(shipped)}}, tmp_path)
    trainer = run.Trainer(recipe, data, tmp_path / "on", save_every=100)
    learned = load_file(tmp_path / "run" / "last" / "trained.safetensors")
    for name in ("model.text_hidden_fcs.0.0.weight", "model.embed_tokens.rows"):
        torch.testing.assert_close(trainer.lisa.state_dict()[name], learned[name], atol=1e-3, rtol=1e-3)
    ups = {name: value for name, value in trainer.lisa.state_dict().items() if ".lora_B." in name}
    assert {name for name, value in ups.items() if value.any()} == {name for name in ups if ".up_proj." not in name} < set(ups)
    recipe = read_recipe_of(LANGUAGE | {"start": {**start, "shipped": str(tmp_path / "towers" / "last")}}, tmp_path)
    with pytest.raises(RecipeError, match="start.shipped .*: not what a run of these sizes shipped"):
        run.Trainer(recipe, data, tmp_path / "other", save_every=100)
    fewer = {"lora": LANGUAGE["lora"] | {"targets": ["q_proj"]}}
    recipe = read_recipe_of(LANGUAGE | fewer | {"start": {**start, "shipped": str(shipped)}}, tmp_path)
    with pytest.raises(RecipeError, match="start.shipped .*: adapts .*v_proj.*, which lora.targets leaves out"):
        run.Trainer(recipe, data, tmp_path / "fewer", save_every=100)


def test_a_later_run_goes_on_with_larger_pictures(data, tmp_path):
    convert_gguf(write(tmp_path / "a.gguf", language()), tmp_path / "language", torch.float32)
    assert train(data, tmp_path / "towers") == 0
    start = {"language": str(tmp_path / "language"), "towers": str(tmp_path / "towers" / "last")}
    assert train(data, tmp_path / "run", LANGUAGE | {"start": start}) == 0
    size = 2 * MODEL["vision"]["image_size"]
    towers = enlarge(tmp_path / "towers" / "last", tmp_path / "larger-towers", size)
    shipped = enlarge(ship(tmp_path / "run" / "last", tmp_path / "shipped", "tiny"), tmp_path / "larger", size)
    assert train(data, tmp_path / "on", LANGUAGE | {"start": {**start, "towers": str(towers), "shipped": str(shipped)}}) == 0
    again = json.loads((ship(tmp_path / "on" / "last", tmp_path / "again", "tiny") / "config.json").read_text())
    assert again["lisa_ros"]["vision"]["image_size"] == size


def test_towers_go_on_learning(data, tmp_path):
    assert train(data, tmp_path / "towers") == 0
    recipe = read_recipe_of(RECIPE | {"start": {"towers": str(tmp_path / "towers" / "last")}}, tmp_path)
    (tmp_path / "on").mkdir()
    trainer = run.Trainer(recipe, data, tmp_path / "on", save_every=100)
    stored = load_file(tmp_path / "towers" / "last" / "model.safetensors")
    for name in ("model.visual_model.image_encoder.pos_embed", *(name for name in stored if name.startswith("model.mm_projector."))):
        torch.testing.assert_close(trainer.lisa.state_dict()[name], stored[name].float())
    names = load_file(tmp_path / "towers" / "last" / run.NAMES)
    assert torch.equal(trainer.warmup.state_dict()["kind_prompt.weight"], names["kind_prompt.weight"])


def read_recipe_of(recipe, folder):
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return read_recipe(folder / "recipe.yaml")


def test_a_reading_process_does_not_destroy_what_its_parent_left(data, tmp_path, monkeypatch):
    trainer = run.Trainer(read_recipe_of(RECIPE, tmp_path), data, tmp_path, save_every=100)
    collate = run.collate
    monkeypatch.setattr(run, "collate", lambda *args, **how: (gc.collect(), collate(*args, **how))[1])
    with left_garbage(tmp_path / "told"):
        next(trainer._batches(trainer.recipe.stages[0], 2, 0, 1))
    assert not (tmp_path / "told").exists()


def test_what_no_reader_can_do_is_refused_before_anything_is_trained(data, tmp_path, capsys):
    assert train(data, tmp_path / "run", RECIPE | {"looking": [[9, 0]]}) == 1
    assert "recipe tiny: head 0 of layer 9" in capsys.readouterr().err
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_no_shards_and_bad_recipes_are_named(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert train(tmp_path / "empty", tmp_path / "run") == 1
    assert "no frames_*.npz" in capsys.readouterr().err
    assert train(tmp_path / "empty", tmp_path / "run", RECIPE | {"pace": 3}) == 1
    assert "recipe.yaml" in capsys.readouterr().err
