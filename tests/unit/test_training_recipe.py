"""Recipes: every one in config/train says what the paper says, and what is wrong in one is named."""

from pathlib import Path

import pytest
import yaml

from lisa_ros.training.recipe import RecipeError, Validation, changed_keys, read_recipe
from lisa_ros.training.schedule import learning_rate

FOLDER = Path(__file__).parents[2] / "config" / "train"
PAPER = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in ("mini", "mini-masks", "mini-towers", "tiny"))
SEMANTIC = {"ade20k", "cocostuff", "mapillary", "paco_lvis", "pascal_part"}


def read(name, *changes):
    return read_recipe(FOLDER / f"{name}.yaml", changes)


@pytest.mark.parametrize("name", PAPER)
def test_every_recipe_is_the_papers(name):
    recipe = read(name)
    assert recipe.name == name
    assert (
        recipe.trainable.lora.rank == 8 and recipe.trainable.lora.alpha == 16 and recipe.trainable.lora.dropout == 0.05
    )
    assert recipe.trainable.lora.targets == ("q_proj", "v_proj")
    how = recipe.optimization
    assert how.betas == (0.9, 0.95) and how.weight_decay == 0 and how.clip == 1.0 and how.precision == "bf16"
    if name != "finetune-239":
        assert (how.lr, how.warmup, how.updates, how.batch) == (3e-4, 100, 5000, 160)
        assert recipe.data.classes_per_sample == 3 and recipe.data.max_length == 512 and recipe.data.exclude_heldout


def test_the_mixture_of_the_paper():
    groups = read("lisa-7b").data.groups
    assert {name: group.rate for name, group in groups.items()} == {
        "semantic": 9,
        "referring": 3,
        "instruct": 3,
        "reasoning": 1,
    }
    assert set(groups["semantic"].sets) == SEMANTIC
    assert set(groups["referring"].sets) == {"refclef", "refcoco", "refcoco+", "refcocog"}
    assert groups["reasoning"].settings == {"split": "train", "explanatory": 0.1, "rephrased": True}


def test_rows_of_the_tables_differ_in_what_they_say():
    whole = read("lisa-7b").as_dict()

    def differs(name):
        return [key for key in changed_keys(whole, read(name).as_dict()) if key != "name"]

    assert differs("sam-lora") == ["trainable.sam_lora"]
    assert differs("sam-from-scratch") == ["start.sam", "trainable.image_encoder"]
    assert differs("sam-vit-l") == ["start.sam"]
    assert differs("no-rephrasing") == ["data.groups.reasoning.settings.rephrased"]
    for name, absent in (("without-ade20k", {"ade20k"}), ("without-cocostuff", {"cocostuff"}),
                         ("without-partseg", {"paco_lvis", "pascal_part"}), ("only-partseg", SEMANTIC - {"paco_lvis", "pascal_part"})):  # fmt: skip
        assert differs(name) == ["data.groups.semantic.sets"]
        assert set(read(name).data.groups["semantic"].sets) == SEMANTIC - absent
    for name, group in (
        ("no-semseg", "semantic"),
        ("without-referseg", "referring"),
        ("without-reasonseg", "reasoning"),
    ):
        assert differs(name) == [f"data.groups.{group}"]
    assert read("train-val-439").data.groups["reasoning"].settings["split"] == "train+val"
    assert read("train-val-439").validation is None
    assert list(read("finetune-239").data.groups) == ["reasoning"] and read("finetune-239").start.llava is None


def test_keys_can_be_changed_on_the_command_line():
    recipe = read("lisa-7b", "optimization.micro_batch=4", "optimization.lr=1e-4", "data.groups.semantic.sets=[ade20k]")
    assert recipe.optimization.micro_batch == 4 and recipe.optimization.lr == 1e-4
    assert recipe.data.groups["semantic"].sets == ("ade20k",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optimization.pace=3", "pace"),
        ("pace=3", "pace"),
        ("optimization.micro_batch=3", "optimization.batch 160 is no multiple of micro_batch 3"),
        ("optimization.updates=0", "optimization.updates is 0"),
        ("optimization.precision=fp8", "fp8.*choose from bf16, no"),
        ("data.groups=null", "at least one group"),
        ("data.groups.semantic.rate=0", "data.groups.semantic"),
        ("data.groups.semantic.count=3", r"semantic\.count: that is one for all sets, data\.classes_per_sample"),
        ("trainable.lora.size=3", "size"),
        ("start.conversation=vicuna", "vicuna.*choose from"),
        ("start.sam=null", "start: sam goes with llava"),
        ("optimization.lr", "key=value"),
    ],
)
def test_what_is_wrong_is_named(change, said):
    with pytest.raises(RecipeError, match=said):
        read("lisa-7b", change)


def test_a_recipe_that_says_nothing_of_validation_is_validated_as_usual(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\nstart: {lisa: lisa-mini}\ndata: {groups: {reasoning: {rate: 1, sets: [reasonseg]}}}\n")
    assert read_recipe(path).validation == Validation()
    assert read_recipe(path, ["validation=null"]).validation is None


def test_features_of_a_trained_encoder_cannot_be_kept():
    with pytest.raises(RecipeError, match="cache_features"):
        read("sam-lora", "optimization.cache_features=features")


@pytest.mark.parametrize("text", ["- a list", "name: [", "base: nowhere.yaml", "base: recipe.yaml\nname: x"])
def test_a_file_that_is_no_recipe(tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml|nowhere\.yaml"):
        read_recipe(tmp_path / "recipe.yaml")


def test_a_recipe_survives_as_plain_values(tmp_path):
    plain = read("lisa-13b").as_dict()
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


def test_the_learning_rate_rises_and_falls_in_lines():
    rates = [learning_rate(update, peak=3e-4, warmup=100, updates=5000) for update in range(5000)]
    assert rates[0] == 0 and rates[50] == pytest.approx(1.5e-4) and rates[100] == max(rates) == 3e-4
    assert rates[2550] == pytest.approx(1.5e-4) and 0 < rates[-1] < 1e-7
    assert learning_rate(0, peak=1.0, warmup=0, updates=1) == 1.0
