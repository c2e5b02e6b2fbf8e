"""Packing several questions behind one picture changes nothing about what each of them sees."""

# ruff: noqa: F811 (fixtures come from tiny_written, and tests take them by their names)

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_written import TINY, lisa, tokenizer  # noqa: F401
from torch import nn

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.losses import IGNORE
from lisa_ros.training.mini.batch import collate
from lisa_ros.training.mini.head import fit_head
from lisa_ros.training.mini.objective import Objective, WarmUp, look_loss, rarity, shares_of
from lisa_ros.training.mini.recipe import RecipeError, Stage, read_recipe
from lisa_ros.training.mini.samples import MEASURES, blurred, group_of, make_sample, part_of, telling
from scannet_tools.synthetic.export import ExportedFrame
from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.palette import COLORS
from scannet_tools.synthetic.questions import Question, View

PLAIN = Stage("plain", images=1, batch=1, lr=1e-3)


def frame(count: int) -> ExportedFrame:
    rng = np.random.default_rng(3)
    instance = np.zeros((48, 64), np.uint8)
    instance[10:30, 5:25], instance[20:40, 40:60] = 1, 2
    questions = [
        Question("the red mug", "explicit", (1,), "It is the red mug."),
        Question("hand me the blue book, please", "explicit", (2,), "It is the blue book."),
        Question("a lamp", "absent", (), "There is no lamp here.", ("lamp",)),
    ][:count]
    return ExportedFrame(
        rng.integers(0, 255, (48, 64, 3), np.uint8),
        instance,
        np.array([0, KIND_NAMES.index("mug"), KIND_NAMES.index("book")], np.uint8)[instance],
        [view(1, "mug", "red"), view(2, "book", "blue", u=50.0, v=30.0)],
        questions,
        "table_top",
    )


def view(number: int, kind: str, color: str, u: float = 15.0, v: float = 20.0) -> View:
    return View(number, kind, color, 400, u, v, 1.5, 0, (0.1, 0.1, 0.2))


def batch_of(samples, lisa, tokenizer):
    return collate(samples, tokenizer.seg_id)


def sample_of(questions, lisa, tokenizer):
    whole = frame(3)
    whole.questions = questions
    return make_sample(whole, lisa.config, tokenizer, len(questions), np.random.default_rng(0), names=2, augment=False)


@torch.no_grad()
def test_packed_questions_see_what_they_would_see_alone(lisa, tokenizer):
    objective = Objective(lisa)
    sample = sample_of(frame(3).questions, lisa, tokenizer)
    packed = objective(batch_of([sample], lisa, tokenizer), PLAIN)
    tokens = [len(answer) for answer in sample.answers]
    alone, present = [], []
    for prompt, answer in zip(sample.prompts, sample.answers):
        one = next(
            s
            for q in frame(3).questions
            for s in [sample_of([q], lisa, tokenizer)]
            if s.answers == [answer] and s.prompts == [prompt]
        )
        alone.append(objective(batch_of([one], lisa, tokenizer), PLAIN))
        present.append(len(one.masks) > 0)
    ce = sum(losses["ce"] * count for losses, count in zip(alone, tokens)) / sum(tokens)
    assert packed["ce"].item() == pytest.approx(ce.item(), abs=1e-5)
    for name in ("bce", "dice"):
        with_target = [losses[name].item() for losses, asked in zip(alone, present) if asked]
        assert packed[name].item() == pytest.approx(np.mean(with_target), abs=1e-5)


@torch.no_grad()
def test_without_bars_the_patches_of_the_picture_alone_are_read_and_looked_at(tokenizer):
    torch.manual_seed(0)
    lisa = Lisa(replace(TINY.config(tokenizer.vocab_size), clip_fit="unpad")).eval()
    objective = Objective(lisa, WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1), looking=[(1, 0)])
    wide = replace(frame(1), color=frame(1).color[:32], instance=frame(1).instance[:32])  # rows 1 and 2 of 4 x 4 patches
    sample = make_sample(wide, lisa.config, tokenizer, 1, np.random.default_rng(0), augment=False)
    batch = batch_of([sample], lisa, tokenizer)
    losses: dict[str, torch.Tensor] = {}
    patches = lisa.look(batch.clip)
    hidden = objective._read(losses, batch, patches, replace(PLAIN, part="language", look_weight=1.0))
    alone = lisa.read(lisa.embed(batch.before, patches[:, 4:12], torch.cat([batch.behind, batch.text[None]], 1)))
    torch.testing.assert_close(hidden, alone[0, -len(hidden) :], atol=1e-4, rtol=1e-4)
    assert 0 < losses["look"] < 5


def test_labels_are_the_answers_and_the_mask_state_is_before_seg(lisa, tokenizer):
    sample = sample_of(frame(3).questions, lisa, tokenizer)
    batch = batch_of([sample], lisa, tokenizer)
    labels = batch.labels
    assert labels[labels != IGNORE].tolist() == [token for answer in sample.answers for token in answer]
    for _, place in batch.seg_places.tolist():
        assert batch.labels[place] == tokenizer.seg_id
        assert batch.text[place + 1] == tokenizer.seg_id
    assert batch.slots.max() == len(batch.text) - 1 and len(batch.labels) == len(batch.text)
    assert len(batch.seg_places) == len(batch.masks) == 2


def test_what_follows_a_name_says_whether_the_thing_is_there(lisa, tokenizer):
    batch = batch_of([sample_of(frame(3).questions, lisa, tokenizer)] * 2, lisa, tokenizer)
    found = {}
    for decision, place in zip(batch.decisions, batch.places(batch.decisions)):
        *_, target = decision.tolist()
        name = KIND_NAMES[batch.targets.kind[target]] if target >= 0 else "lamp"
        found.setdefault((name, target), []).append((batch.text[place].item(), batch.labels[place].item()))

    def last(word):
        return tokenizer.encode_word(word)[-1]

    stop, within = tokenizer.encode("a.")[-1], tokenizer.encode_word("in")[0]
    assert found.pop(("lamp", -1)) == [(last("lamp"), stop)] * 2
    assert {name: pairs for (name, _), pairs in found.items()} == {
        "mug": [(last("mug"), within), (last("red"), tokenizer.seg_id)],
        "book": [(last("book"), within), (last("blue"), tokenizer.seg_id)],
    }
    assert sorted(target for _, target in found) == [0, 1, 2, 3]  # masks of the second picture stand behind the first one's


def test_several_targets_have_a_name_and_a_mask_each(lisa, tokenizer):
    both = Question("the mug and the book", "several", (1, 2), "These are the red mug and the blue book.")
    sample = sample_of([both], lisa, tokenizer)
    assert tokenizer.decode(sample.answers[0], skip_special=True) == "mug in red [SEG] and the book in blue [SEG]."
    assert [target for _, _, target in sample.decisions] == [0, 0, 1, 1] and len(sample.masks) == 2
    batch = batch_of([sample], lisa, tokenizer)
    assert batch.seg_places[:, 1].tolist() == batch.places(batch.decisions[[1, 3]]).tolist()


def test_a_reason_stands_behind_the_name(lisa, tokenizer):
    asked = Question("to drink from", "use", (1,), "It is the red mug: one drinks from it.")
    assert tokenizer.decode(sample_of([asked], lisa, tokenizer).answers[0], skip_special=True) == "mug in red [SEG]: one drinks from it."
    asked = Question("to read", "absent", (), "There is nothing to read here.", ("book", "notebook"))
    answers = {tokenizer.decode(make_sample(replace(frame(1), questions=[asked]), lisa.config, tokenizer, 1, np.random.default_rng(n), augment=False).answers[0], skip_special=True) for n in range(9)}
    assert answers == {"book. There is nothing to read here.", "notebook. There is nothing to read here."}


def test_answers_that_are_not_written_end_where_they_are_decided(lisa, tokenizer):
    whole = sample_of(frame(3).questions, lisa, tokenizer)
    short = make_sample(frame(3), lisa.config, tokenizer, 3, np.random.default_rng(0), names=2, written=1, augment=False)
    assert short.prompts == whole.prompts
    said = [tokenizer.decode(answer, skip_special=True) for answer in short.answers[1:]]
    assert short.answers[0] == whole.answers[0] and {text.rstrip(".") for text in said} <= {"mug in red [SEG]", "book in blue [SEG]", "lamp"}
    assert all(cut == whole.answers[number][: len(cut)] for number, cut in enumerate(short.answers))
    read, cut = (batch_of([sample], lisa, tokenizer) for sample in (whole, short))
    assert len(cut.text) < len(read.text) and len(cut.seg_places) == len(read.seg_places) == 2


def test_masks_cover_what_the_instance_covers(lisa, tokenizer):
    sample = sample_of(frame(1).questions, lisa, tokenizer)
    rows, columns = sample.valid
    assert (rows, columns) == (12, 16)
    assert sample.masks[0, :rows, :columns].mean() == pytest.approx(400 / (48 * 64), abs=1e-3)
    assert sample.masks[0, rows:].sum() == 0
    assert (sample.category[rows // 2 :] == -1).all()


def test_a_few_updates_lower_every_loss(tokenizer):
    torch.manual_seed(1)
    lisa = Lisa(TINY.config(tokenizer.vocab_size)).train()
    objective = Objective(lisa, WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1))
    batch = batch_of([sample_of(frame(3).questions, lisa, tokenizer)], lisa, tokenizer)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    history = []
    stage = replace(PLAIN, dense_weight=1.0, align_weight=1.0)
    for _ in range(100):
        losses = objective(batch, stage)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    for name in ("ce", "bce", "dice", "dense", "align"):
        assert history[-1][name] < 0.8 * history[0][name], name


TOWER, DECODER = (
    "lisa.model.visual_model.image_encoder.pos_embed",
    "lisa.model.visual_model.mask_decoder.mask_tokens.weight",
)
READER, PROMPTER = "lisa.model.layers.0.self_attn.q_proj.weight", "lisa.model.text_hidden_fcs.0.0.weight"
NAMES, CLIP = "warmup.kind_prompt.weight", "lisa.vision_tower.pre_layrnorm.weight"


@pytest.mark.parametrize(
    ("part", "names", "trained", "untouched"),
    [
        ("vision", {"dense", "bce", "dice", "loss"}, (TOWER, DECODER, NAMES, CLIP), (READER, PROMPTER)),
        ("sam", {"dense", "bce", "dice", "loss"}, (TOWER, DECODER, NAMES), (READER, PROMPTER, CLIP)),
        (
            "language",
            {"dense", "ce", "align", "place", "presence", "loss"},
            (READER, PROMPTER),
            (TOWER, DECODER, NAMES),
        ),
        (
            "whole",
            {"dense", "ce", "align", "place", "presence", "bce", "dice", "absent", "loss"},
            (TOWER, DECODER, READER, PROMPTER),
            (NAMES,),
        ),
    ],
)
def test_a_stage_trains_its_part_alone(part, names, trained, untouched, tokenizer):
    torch.manual_seed(1)
    lisa = Lisa(TINY.config(tokenizer.vocab_size)).train()
    objective = Objective(lisa, WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1))
    stage = replace(
        PLAIN, part=part, dense_weight=1.0, absent_weight=1.0, align_weight=1.0, place_weight=1.0, presence_weight=1.0
    )
    losses = objective(batch_of([sample_of(frame(3).questions, lisa, tokenizer)], lisa, tokenizer), stage)
    losses["loss"].backward()
    assert set(losses) == names
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters()}
    assert all(gradients[name] is not None for name in trained)
    assert all(gradients[name] is None for name in untouched)


def test_a_name_means_all_that_it_fits_unless_a_place_is_told():
    mugs = [view(1, "mug", "red"), view(2, "mug", "red", u=40.0), view(3, "mug", "blue"), view(4, "book", "red")]

    def ids(*told):
        return [found.id for found in group_of(mugs[0], mugs, told)]

    assert ids(True, True, False) == [1, 2] and ids(True, False, False) == [1, 2, 3]
    assert ids(False, True, False) == [1, 2, 4]
    assert ids(True, True, True) == ids(False, False, True) == [1]


def test_a_share_of_the_names_tells_no_place():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        told = np.array([telling(share, rng) for _ in range(4000)])
        assert told.any(1).all() and 1 - told[:, 2].mean() == pytest.approx(share, abs=0.03)
        assert told[:, :2].all(1).any()  # kind and colour are told, too, with a place and without


def test_named_masks_are_those_of_their_objects(lisa, tokenizer):
    sample = sample_of(frame(2).questions, lisa, tokenizer)
    assert sorted(sample.named.kind) == sorted(KIND_NAMES.index(name) for name in ("mug", "book"))
    assert sorted(sample.named.color) == sorted(1 + COLORS.index(name) for name in ("red", "blue"))
    assert sample.named_masks.shape == (2, *sample.masks.shape[1:]) and (sample.named_masks.sum((1, 2)) > 0).all()
    mug = list(sample.named.kind).index(KIND_NAMES.index("mug"))
    np.testing.assert_allclose(sample.named.place[mug], (15 / 64, 20 / 64), atol=0.02)  # of SAM's square
    rows, columns = (side // 2 for side in sample.valid)
    shown = sample.measures[:, :rows, :columns][:, sample.category[:rows, :columns] > 0]
    np.testing.assert_allclose(shown[0], np.log(1.5), rtol=1e-6)
    assert len(MEASURES) == len(sample.measures) and np.isnan(sample.measures[:, rows:]).all()


def test_a_mirrored_frame_swaps_sides_and_a_cropped_one_keeps_what_it_shows():
    whole = frame(2)
    mirror = whole.mirrored()
    assert (mirror.instance == whole.instance[:, ::-1]).all() and (mirror.color == whole.color[:, ::-1]).all()
    assert [found.u for found in mirror.objects] == [48.0, 13.0] and mirror.questions == []
    part = whole.cropped(0.5, 0.0, 0.0)
    assert part.color.shape == (24, 32, 3) and (part.instance == whole.instance[:24, :32]).all()
    (mug,) = part.objects
    assert (mug.id, mug.pixels, mug.v) == (1, 14 * 20, 16.5)


def test_a_part_of_a_frame_shows_one_of_its_things():
    whole, rng = frame(2), np.random.default_rng(0)
    shown = [{view.kind for view in part_of(whole, 0.3, rng).objects} for _ in range(40)]
    assert all(shown) and any(kinds == {"mug"} for kinds in shown) and any(kinds == {"book"} for kinds in shown)
    whole.objects = []
    assert part_of(whole, 0.5, rng).color.shape[0] >= 24


def test_words_are_asked_of_the_projector_alone_where_clip_sees_them(lisa, tokenizer):
    torch.manual_seed(1)
    warmup = WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1)
    warmup.kind_word.normal_()
    batch = batch_of([sample_of(frame(2).questions, lisa, tokenizer)], lisa, tokenizer)
    objective = Objective(lisa, warmup)
    loss = objective(batch, replace(PLAIN, part="words"))
    assert set(loss) == {"words", "loss"}
    codes = objective.patch_codes(torch.zeros(1, 16, 32), batch.valid)
    assert warmup.words(torch.zeros(1, 16, 32), batch, codes) > 0
    # a 4 x 4 grid of patches: the picture's 48 rows of 64 pixels fill its middle three rows
    shares = torch.zeros(1, 4, 4, len(KIND_NAMES))
    truth = batch.category[0, :6, :8]
    whole = torch.full((8, 8), -1)  # half patches; the picture begins half a patch from above
    whole[1:7] = truth
    for kind in range(len(KIND_NAMES)):
        shares[0, ..., kind] = (whole == kind).float().reshape(4, 2, 4, 2).mean((1, 3))
    words = (shares @ warmup.kind_word).flatten(1, 2)
    assert warmup.words(words, batch, codes) == pytest.approx(0.0, abs=1e-6)
    warmup.begin_with_words(warmup.kind_word.clone(), torch.zeros(len(COLORS), 32))
    assert warmup.words(words + codes @ warmup.place_word, batch, codes) == pytest.approx(0.0, abs=1e-6)
    assert warmup.words(words, batch, codes) == pytest.approx(1.0, rel=0.5)  # a place counts as much as a kind
    with torch.random.fork_rng():
        torch.manual_seed(5)
        other = WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1)
        other.begin_with_words(warmup.kind_word.clone(), torch.zeros(len(COLORS), 32))
    assert torch.equal(other.place_word, warmup.place_word)  # later runs understand what earlier ones say


def test_a_patch_counts_by_how_rare_what_it_shows_is(lisa, tokenizer):
    """Were all patches to count the same, a tower would call whatever stands on a table a table."""
    weights = rarity(torch.tensor([9.0, 0.0, 1.0]))
    assert weights[0] / weights[2] == pytest.approx(1 / 3) and weights[1] == 0
    objective = Objective(lisa, WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1))
    warmup, batch = objective.warmup, batch_of([sample_of(frame(2).questions, lisa, tokenizer)], lisa, tokenizer)
    warmup.kind_word.normal_()
    codes = objective.patch_codes(torch.zeros(1, 16, 32), batch.valid)
    right = warmup.shown(16, batch, codes)
    kinds = shares_of(batch.category, len(KIND_NAMES), batch.valid, 4)[0]
    wall, mug = kinds[:, 0].argmax(), kinds[:, KIND_NAMES.index("mug")].argmax()
    assert kinds[wall, 0] > 0.7 and kinds[mug, 0] <= 0.5
    off = []
    for patch in (wall, mug):
        wrong = right.clone()
        wrong[0, patch] += 1
        off.append(warmup.words(wrong, batch, codes).item())
    assert off[1] > 1.2 * off[0] > 0


def test_what_asks_nothing_has_pictures_and_no_text(lisa, tokenizer):
    sample = make_sample(frame(2), lisa.config, tokenizer, 0, np.random.default_rng(0))
    batch = collate([sample, sample], tokenizer.seg_id)
    assert len(batch.text) == batch.before.shape[1] == batch.slots.shape[1] == 0 and len(batch.clip) == 2
    objective = Objective(lisa, WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1))
    objective.warmup.kind_word.normal_()
    assert objective(batch, replace(PLAIN, part="words"))["loss"] > 0


def test_a_patchs_place_is_where_sam_has_it(lisa):
    """CLIP sees the picture in the middle of its square, SAM at the upper edge of its own."""
    objective = Objective(lisa)
    codes = objective.patch_codes(torch.zeros(1, 16, 32), (12, 16))
    # patch 3 of row 2: its middle is 2.5 quarters down, half a quarter of which lies above the picture
    wanted = objective._codes(torch.tensor([[3.5 / 4, 2.5 / 4 - 1 / 8]]))
    assert torch.equal(codes[2 * 4 + 3], wanted[0])
    assert not torch.equal(codes[2 * 4 + 3], codes[1 * 4 + 3])


def test_a_head_begins_where_a_straight_line_leads():
    torch.manual_seed(0)
    states = 5 + 0.1 * torch.randn(2000, 24) * torch.linspace(0.2, 2, 24)  # nearly all alike, as a language model's are
    goals = (states - 5) @ torch.randn(24, 8) + 2
    head = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 8))
    explained = fit_head(head, states[:1500], goals[:1500])
    left = (head(states[1500:]) - goals[1500:]).square().mean() / goals[1500:].var(0).mean()
    assert explained > 0.8 and left < 0.3


def test_an_absent_targets_mask_should_be_empty(lisa, tokenizer):
    batch = batch_of([sample_of(frame(3).questions[2:], lisa, tokenizer)], lisa, tokenizer)
    losses = Objective(lisa)(batch, replace(PLAIN, absent_weight=1.0))
    assert losses["bce"] == 0 and losses["absent"] > 0
    none = batch_of([sample_of(frame(3).questions[:2], lisa, tokenizer)], lisa, tokenizer)
    assert Objective(lisa)(none, replace(PLAIN, absent_weight=1.0))["absent"] == 0


def test_the_rate_rises_stays_and_falls():
    stage = Stage("s", images=1000, batch=10, lr=1.0, warmup=10, decay=0.5)
    rates = [stage.rate(i) for i in range(stage.updates)]
    assert rates[0] == pytest.approx(0.1) and rates[20] == 1.0 and rates[-1] == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["mini-towers", "mini-masks", "mini"])
def test_recipes_of_the_embedded_model_are_read(name):
    recipe = read_recipe(Path(__file__).parents[2] / "config" / "train" / f"{name}.yaml")
    assert recipe.name == f"lisa-{name}" and recipe.optimizer == "muon"


def test_a_bad_recipe_is_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nseed: 1\nstages: []\nstart: {language: a}\n")
    with pytest.raises(RecipeError, match="model is needed, or start.language and start.towers"):
        read_recipe(path)
    path.write_text("name: x\nseed: 1\nvocabulary: 1\nmodel: {}\nstages: []\nspeed: 3\n")
    with pytest.raises(RecipeError, match="speed"):
        read_recipe(path)
    path.write_text(
        "name: x\nseed: 1\nvocabulary: 1\nmodel: {}\nstages: [{name: s, images: 1, batch: 1, lr: 1.0, part: all}]\n"
    )
    with pytest.raises(RecipeError, match='part "all"'):
        read_recipe(path)
    for wrong, said in (
        ("part: language, questions: 0", "learns from questions"),
        ("part: words, questions: 0, crop: 0", "crop 0 is no share"),
        ("groups: 2", "groups 2 is no share of the names"),
    ):
        path.write_text(f"name: x\nseed: 1\nvocabulary: 1\nmodel: {{}}\nstages: [{{name: s, images: 1, batch: 1, lr: 1.0, {wrong}}}]\n")
        with pytest.raises(RecipeError, match=said):
            read_recipe(path)
    path.write_text("name: x\nseed: 1\nvocabulary: 1\nmodel: {}\noptimizer: sgd\nstages: []\n")
    with pytest.raises(RecipeError, match='optimizer "sgd" is none of adamw, muon'):
        read_recipe(path)
    with pytest.raises(RecipeError, match="nothing.yaml"):
        read_recipe(tmp_path / "nothing.yaml")


def test_places_are_told_beside_where_things_are():
    places = np.full((4000, 2), 0.5, np.float32)
    assert (blurred(places, 0.0, np.random.default_rng(0)) == places).all()
    off = blurred(places, 0.1, np.random.default_rng(0)) - places
    assert abs(off.mean()) < 0.005 and 0.04 < off.std() < 0.08  # root mean square of a spread that is anywhere from 0 to 0.1


@torch.no_grad()
def test_told_patches_are_the_words_of_what_they_show(lisa, tokenizer):
    objective = Objective(lisa, WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1))
    objective.warmup.kind_word.normal_()
    batch = batch_of([sample_of(frame(2).questions, lisa, tokenizer)] * 2, lisa, tokenizer)
    half = objective._patches(batch, replace(PLAIN, part="language", told=0.5))
    seen = objective._patches(batch, replace(PLAIN, part="language"))
    codes = objective.patch_codes(half, batch.valid)
    assert torch.equal(half[1], seen[1]) and not torch.allclose(half[0], seen[0])
    assert objective.warmup.words(half[:1], batch_of([sample_of(frame(2).questions, lisa, tokenizer)], lisa, tokenizer), codes) < 1e-9


def test_words_that_name_something_in_view_are_found(lisa, tokenizer):
    sample = sample_of(frame(3).questions, lisa, tokenizer)
    named = {(tokenizer.decode(sample.prompts[number][token - 2 : token + 1]).split()[-1], KIND_NAMES[kind]) for number, token, kind in sample.nouns}
    assert named == {("mug", "mug"), ("book", "book")} and len(sample.nouns) == 2
    batch = batch_of([sample], lisa, tokenizer)
    for (row, number, token, _), (_, place, _) in zip(batch.nouns.tolist(), sample.nouns):
        assert batch.text[batch.slots[row, number, token]] == sample.prompts[number][place]


def test_looking_at_what_a_word_names_costs_nothing_and_looking_beside_it_much(lisa, tokenizer):
    batch = batch_of([sample_of(frame(3).questions, lisa, tokenizer)], lisa, tokenizer)
    found = batch.decisions[batch.decisions[:, 3] >= 0]
    kinds = torch.cat([batch.nouns[:, 3], batch.targets.kind[found[:, 3]]])
    assert len(kinds) == 2 + 4
    book = kinds == KIND_NAMES.index("book")
    look = torch.full((6, 16), 1e-6)
    # patches of 16 pixels; CLIP sees 8 rows of nothing above the picture. The mug, u 5-25, v 10-30; the book, 40-60, 20-40
    look[~book, 1 * 4 + 1], look[book, 2 * 4 + 3] = 1.0, 1.0
    beside = look.clone()
    beside[book], beside[~book] = look[~book][:1], look[book][:1]
    showing = Objective(lisa)._showing(batch, found)
    right = look_loss([look], showing)
    assert right < 1.0 and look_loss([beside], showing) > 5.0
    assert right < look_loss([look, torch.full((6, 16), 1 / 16)], showing) < 5.0


def test_a_head_learns_to_look_where_a_word_says(tokenizer):
    torch.manual_seed(1)
    lisa = Lisa(TINY.config(tokenizer.vocab_size)).train()
    objective = Objective(lisa, WarmUp(32, 16, len(KIND_NAMES), len(COLORS) + 1), looking=[(1, 0)])
    batch = batch_of([sample_of(frame(3).questions, lisa, tokenizer)], lisa, tokenizer)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    stage, history = replace(PLAIN, part="language", look_weight=1.0), []
    for _ in range(60):
        losses = objective(batch, stage)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(losses["look"].item())
    assert history[-1] < 0.5 * history[0]


def test_looking_without_heads_is_refused():
    with pytest.raises(TypeError, match="looking"):
        replace(TINY, stages=(replace(PLAIN, look_weight=0.5),))
    replace(TINY, stages=(replace(PLAIN, look_weight=0.5),), looking=((0, 1),))
