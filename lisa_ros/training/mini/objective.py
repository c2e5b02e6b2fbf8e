"""One training step's losses: CE + 2 BCE + 0.5 DICE (paper section 4.2), and the dense warm-up of the towers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.losses import BCE_WEIGHT, CE_WEIGHT, DICE_WEIGHT, bce_loss, dice_loss
from lisa_ros.training.mini.batch import Batch
from lisa_ros.training.mini.reader import Reader
from lisa_ros.training.mini.recipe import Stage
from lisa_ros.training.mini.samples import MEASURES, Names

PLACES = 16  # cells a side, over SAM's square, of the grid on which a target's place is told

PLACE_WORDS = 21
"""Seed of the matrix that makes words of places."""


class Objective(nn.Module):
    """Losses of a batch.

    The mask losses are taken on the decoder's own grid against area-averaged targets (the reference upsamples to the picture's size first;
    see "loss at picture size" in docs/training.md).

    Args:
        warmup: heads and named prompts of the warm-up; None for stages of the whole model without its losses.
        dtype: what the language model computes in. looking: (layer, head) of it that are taught to look ("look").
    """

    def __init__(
        self, lisa: Lisa, warmup: WarmUp | None = None, dtype: torch.dtype = torch.float32, looking: Sequence[tuple[int, int]] = ()
    ) -> None:
        super().__init__()
        self.lisa = lisa
        self.warmup = warmup
        self.dtype, self.looking = dtype, looking

    @cached_property
    def reader(self) -> Reader:
        """Made when the first text is read, on the device where the model is by then."""
        return Reader(self.lisa.model, self.dtype, self.looking)

    def forward(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        """Losses by name, of the parts that ``stage`` trains; "loss" is their weighted sum."""
        losses: dict[str, Tensor] = {}
        patches = self._patches(batch, stage) if stage.part != "sam" else None
        sam = self.lisa.sam
        embedding = sam.image_encoder(sam.normalise(batch.sam)) if stage.part in ("vision", "sam", "whole") else None
        if stage.part in ("vision", "sam"):
            self._mask_losses(losses, embedding[batch.named_row], self.prompts_of(batch.named), batch.named_masks, batch.valid)
        elif stage.part == "words":
            losses["words"] = self.warmup.words(patches, batch, self.patch_codes(patches, batch.valid))
        else:
            hidden = self._read(losses, batch, patches, stage)
            if stage.sentences:
                losses["sentences"] = self._kinds_that_serve(batch)
            self._follow(losses, batch, embedding, hidden, stage)
        if stage.dense_weight:
            losses["dense"] = self.warmup.dense(patches, embedding, batch)
        weights = {"ce": CE_WEIGHT, "bce": BCE_WEIGHT, "dice": DICE_WEIGHT, "align": stage.align_weight, "dense": stage.dense_weight}
        weights |= {"words": 1.0, "place": stage.place_weight, "presence": stage.presence_weight, "look": stage.look_weight, "absent": stage.absent_weight}
        weights["sentences"] = stage.sentences_weight
        losses["loss"] = sum(weights[name] * value for name, value in losses.items())
        return losses

    def _patches(self, batch: Batch, stage: Stage) -> Tensor:
        """What the language model sees of the pictures, [B,p,d]. Where it is that which learns, CLIP's tower and the projector stay as they are, and
        of some pictures the patches are told instead of seen: whom nothing misleads learns sooner how a word finds its patches."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and stage.part in ("vision", "words")):
            patches = self.lisa.look(batch.clip)
        told = round(stage.told * len(patches))
        if told == 0:
            return patches
        shown = self.warmup.shown(patches.shape[1], batch, self.patch_codes(patches, batch.valid))
        return torch.cat([shown[:told].to(patches.dtype), patches[told:]])

    def _read(self, losses: dict[str, Tensor], batch: Batch, patches: Tensor, stage: Stage) -> Tensor:
        """The language model's states [N,d] of the text. Puts the answers' cross entropy into ``losses``, that behind the names, which says
        whether the thing is there, and where it is."""
        lisa, decisions = self.lisa, batch.decisions
        found = decisions[decisions[:, 3] >= 0]
        patches = lisa.without_bars(patches, *batch.valid)
        pictures, text = lisa.embed(batch.before, patches, batch.behind), lisa.model.embed_tokens(batch.text)
        asking = torch.cat([batch.nouns[:, :3], found[:, :3]]) if stage.look_weight else None
        hidden, looks = self.reader(pictures, text, batch.slots, asking)
        answered = batch.labels >= 0
        each = F.cross_entropy(lisa.lm_head(hidden[answered]).float(), batch.labels[answered], reduction="none")
        losses["ce"] = each.mean()
        place = batch.places(decisions)
        if stage.place_weight:
            losses["place"] = self.warmup.places(hidden[place], batch)
        if looks:
            begin = batch.before.shape[1]
            seen = lisa.without_bars(self._showing(batch, found), *batch.valid)
            losses["look"] = look_loss([look[..., begin : begin + patches.shape[1]] for look in looks], seen)
        if stage.presence_weight:
            losses["presence"] = each[(answered.cumsum(0) - 1)[place]].mean()
        return hidden

    def _kinds_that_serve(self, batch: Batch) -> Tensor:
        """Cross entropy of the names that answer ``batch.sentences``, in front of an empty picture."""
        lisa = self.lisa
        empty, text = lisa.model.embed_tokens(torch.cat([batch.before[:1], batch.behind[:1]], 1)), lisa.model.embed_tokens(batch.sentences)
        hidden, _ = self.reader(empty, text, batch.sentence_slots)
        answered = batch.sentence_labels >= 0
        return F.cross_entropy(lisa.lm_head(hidden[answered]).float(), batch.sentence_labels[answered])

    def _showing(self, batch: Batch, found: Tensor) -> Tensor:
        """How much of what is named each of CLIP's patches shows, [k,p], 1 where it is most. First come the questions' nouns, which name all of a kind,
        then the decisions ``found`` [m,4], which name their target."""
        picture, kind = batch.nouns[:, 0], batch.nouns[:, 3]
        of_kind = batch.category[picture] == kind[:, None, None]
        of_target = F.avg_pool2d(batch.masks[found[:, 3]], 2)
        there = centre_vertically(torch.cat([of_kind.float(), of_target]), batch.valid)
        shares = F.adaptive_avg_pool2d(there[:, None], self.lisa.config.vision.grid).flatten(1)
        return shares / shares.amax(1, keepdim=True).clamp(min=1e-6)

    def _follow(self, losses: dict[str, Tensor], batch: Batch, embedding: Tensor | None, hidden: Tensor, stage: Stage) -> None:
        """Losses of the mask prompts: of their masks (with an image embedding), and against the names of their targets."""
        row, place = batch.seg_places.unbind(1)
        prompts = self.lisa.mask_prompt(hidden[place])
        if embedding is not None:
            self._mask_losses(losses, embedding[row], prompts, batch.masks, batch.valid)
        if embedding is not None and stage.absent_weight:
            absent = batch.decisions[batch.decisions[:, 3] < 0]
            logits = self._logits(embedding[absent[:, 0]], self.lisa.mask_prompt(hidden[batch.places(absent)]), batch.valid)
            losses["absent"] = bce_loss(logits, torch.zeros_like(logits))
        if stage.align_weight:
            losses["align"] = F.mse_loss(prompts.float(), self._goals(batch)) if len(prompts) else prompts.sum() * 0.0

    @torch.no_grad()
    def states_and_goals(self, batch: Batch, stage: Stage) -> tuple[Tensor, Tensor]:
        """States [n,d] before each [SEG], and the prompts [n,prompt_dim] of the targets' names."""
        hidden = self._read({}, batch, self._patches(batch, stage), stage)
        return hidden[batch.seg_places[:, 1]].float(), self._goals(batch)

    @torch.no_grad()
    def _goals(self, batch: Batch) -> Tensor:
        """The prompts [n,prompt_dim] of the targets' names."""
        return self.prompts_of(batch.targets).float()

    def prompts_of(self, names: Names) -> Tensor:
        """Mask prompts [n,prompt_dim] that name things."""
        return self.warmup.named_prompts(names, self._codes(names.place))

    def patch_codes(self, patches: Tensor, valid: tuple[int, int]) -> Tensor:
        """Position codes [p,prompt_dim] of the middles of CLIP's patches; SAM pads below and right, ``clip_fit: pad`` on both sides."""
        side, grid = int(patches.shape[1] ** 0.5), 4 * self.lisa.sam.config.grid
        steps = (torch.arange(side, device=patches.device) + 0.5) / side
        rows, columns = (steps - (1 - part / grid) / 2 for part in valid)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return self._codes(torch.stack([x.flatten(), y.flatten()], 1))

    def _codes(self, places: Tensor) -> Tensor:
        """SAM's position codes [n,prompt_dim] of places [n,2], x and y as shares of the square."""
        codes = self.lisa.sam.prompt_encoder.position()[0]
        u, v = (places * codes.shape[-1]).long().clamp(0, codes.shape[-1] - 1).unbind(1)
        return codes[:, v, u].T

    def _mask_losses(
        self, losses: dict[str, Tensor], embedding: Tensor, prompts: Tensor, targets: Tensor, valid: tuple[int, int]
    ) -> None:
        rows, columns = valid
        logits, targets = self._logits(embedding, prompts, valid), targets[:, :rows, :columns]
        losses["bce"], losses["dice"] = bce_loss(logits, targets), dice_loss(logits, targets)

    def _logits(self, embedding: Tensor, prompts: Tensor, valid: tuple[int, int]) -> Tensor:
        """Mask logits [n,rows,columns] of the part of the decoder's grid that shows the picture."""
        rows, columns = valid
        return self.lisa.sam.masks(embedding, prompts)[:, :rows, :columns]


class WarmUp(nn.Module):
    """What teaches the towers and the mask decoder before the language model can. Used in training only, never shipped.

    Kind, colour, distance and size of the object under each cell are read linearly off both towers; each feature cell predicts ``fine`` x ``fine``
    cells of the class map, so small objects count although the grid is coarse. And every kind, colour and place has an embedding: their sum is a
    mask prompt that names an object (or all objects of a kind), which the mask decoder learns to follow and which the language model's prompts are
    later pulled towards. A patch's words are the language model's own embeddings of the kind and colour it shows, and a code of its place: a projector
    that begins with them speaks to the language model in words it knows, and says where. Where the target is, or that it is nowhere, is read linearly off the language model's state
    behind its name: to know that, it must look at the picture.
    """

    def __init__(self, patch_width: int, prompt_width: int, kinds: int, colors: int, fine: int = 2) -> None:
        super().__init__()
        self.sizes, self.fine = (kinds, colors), fine
        out = (kinds + colors + len(MEASURES)) * fine * fine
        self.patches = nn.Conv2d(patch_width, out, 1)
        self.sam = nn.Conv2d(prompt_width, out, 1)
        self.kind_prompt = nn.Embedding(kinds, prompt_width)
        self.color_prompt = nn.Embedding(colors, prompt_width)
        self.place_prompt = nn.Linear(prompt_width, prompt_width)
        self.place = nn.Linear(patch_width, PLACES * PLACES + 1)
        self.register_buffer("kind_word", torch.zeros(kinds, patch_width), persistent=False)
        self.register_buffer("color_word", torch.zeros(colors, patch_width), persistent=False)
        self.register_buffer("place_word", torch.zeros(prompt_width, patch_width), persistent=False)

    def named_prompts(self, names: Names, codes: Tensor) -> Tensor:
        """Mask prompts [n,prompt_width] of names, whose places have the position codes [n,prompt_width]."""
        parts = torch.stack([self.kind_prompt(names.kind), self.color_prompt(names.color), self.place_prompt(codes)], 1)
        return (parts * names.told[..., None]).sum(1)

    def begin_with_words(self, kinds: Tensor, colors: Tensor) -> None:
        """Take a language model's words of the kinds [K,d] and colours [C-1,d]. The word of a place is its position code, turned into the width of
        words by a matrix, as large as a word; always the same one, whatever a recipe's seed: patches that an earlier run taught to say it are
        understood by a later one."""
        self.kind_word.copy_(kinds)
        self.color_word[1:] = colors
        size = kinds.square().mean().sqrt()
        turn = torch.randn(self.place_word.shape, generator=torch.Generator().manual_seed(PLACE_WORDS))
        self.place_word.copy_(turn * size * (2 / len(turn)) ** 0.5)  # a code is of sines and cosines: its mean square is a half

    def shown(self, patches: int, batch: Batch, codes: Tensor) -> Tensor:
        """The words [B,patches,patch_width] of what each patch shows and, by the position codes [patches,prompt_width], where."""
        return self._said(*self._shares(patches, batch), codes)

    def _shares(self, patches: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Shares [B,patches,classes] of kinds and of colours in each patch."""
        side = int(patches**0.5)
        return tuple(shares_of(classes, count, batch.valid, side) for classes, count in zip((batch.category, batch.color), self.sizes))

    def _said(self, kinds: Tensor, colors: Tensor, codes: Tensor) -> Tensor:
        return codes @ self.place_word + kinds @ self.kind_word + colors @ self.color_word

    def words(self, patches: Tensor, batch: Batch, codes: Tensor) -> Tensor:
        """Mean squared distance of patches [B,p,d] from their words, in units of a word's own mean square. Patches count by the rarity of what they
        show: tables and walls fill most of them, and a patch that shows a mug would else be called a table, too."""
        kinds, colors = self._shares(patches.shape[1], batch)
        rare = rarity(kinds.sum((0, 1)))
        weight = kinds @ rare + (1 - kinds.sum(-1)) * rare[0]  # around the picture is nothing, as before a wall
        off = (patches.float() - self._said(kinds, colors, codes)).square().mean(-1)
        return (off * weight).sum() / weight.sum() / self.kind_word.square().mean()

    def dense(self, patches: Tensor | None, embedding: Tensor | None, batch: Batch) -> Tensor:
        """Mean cross entropy over cells inside the picture, by the rarity of what they show, summed over kind, colour and both towers, or the one
        whose output is there."""
        losses = []
        if patches is not None:
            side = int(patches.shape[1] ** 0.5)
            losses.append(self._loss(self.patches(patches.transpose(1, 2).unflatten(2, (side, side))), batch, padded_below=False))
        if embedding is not None:
            losses.append(self._loss(self.sam(embedding), batch, padded_below=True))
        return sum(losses)

    def places(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Mean cross entropy of the states [m,d] at ``batch.decisions`` against how the targets' areas spread over a coarse grid; the last class
        is "nowhere"."""
        target = batch.decisions[:, 3]
        truth = torch.zeros(len(hidden), PLACES * PLACES + 1, device=hidden.device)
        areas = F.adaptive_avg_pool2d(batch.masks[:, None], PLACES).flatten(1)
        truth[target >= 0, :-1] = (areas / areas.sum(1, keepdim=True).clamp(min=1e-6))[target[target >= 0]]
        truth[target < 0, -1] = 1.0
        # states are nearly all alike (see head.py): what differs between them is what tells
        apart = F.batch_norm(hidden.float(), None, None, training=True) if len(hidden) > 1 else hidden.float()
        return F.cross_entropy(self.place(apart).float(), truth)

    def _loss(self, scores: Tensor, batch: Batch, padded_below: bool) -> Tensor:
        scores = F.pixel_shuffle(scores, self.fine).float()
        kinds, colors = self.sizes
        size = scores.shape[-2:]
        total = scores.new_zeros(())
        for part, truth in ((scores[:, :kinds], batch.category), (scores[:, kinds : kinds + colors], batch.color)):
            truth = truth if padded_below else centre_vertically(truth, batch.valid)
            truth = F.interpolate(truth[:, None].float(), size, mode="nearest-exact")[:, 0].long()
            amounts = torch.bincount(truth[truth >= 0], minlength=part.shape[1])
            total = total + F.cross_entropy(part, truth, weight=rarity(amounts), ignore_index=-1)
        truth = batch.measures if padded_below else centre_vertically(batch.measures, batch.valid)
        truth = F.interpolate(truth, size, mode="nearest-exact")
        known = truth.isfinite()
        off = F.smooth_l1_loss(scores[:, kinds + colors :], truth.nan_to_num(), reduction="none")
        return total + (off * known).sum() / known.sum().clamp(min=1)


def look_loss(looks: Sequence[Tensor], showing: Tensor) -> Tensor:
    """How little of the attention [k,p] of each head lies on the patches that show what is named, ``showing`` [k,p]: mean of -ln of that share."""
    seen = (torch.stack(list(looks)).float() * showing).sum(-1)[:, showing.any(1)]
    return -seen.clamp(min=1e-6).log().mean() if seen.numel() else looks[0].sum() * 0.0


def rarity(amounts: Tensor) -> Tensor:
    """Weights of classes by how much of a batch [k] shows them: the root of the share that each would have, were all equal, to what it has; 0 for what
    does not occur. Between counting cells, where walls are all that counts, and counting classes, where three cells of a hammer would."""
    amounts = amounts.float()
    return torch.where(amounts > 0, (amounts.sum() / amounts.clamp(min=1e-6) / len(amounts)).sqrt(), 0.0)


def shares_of(classes: Tensor, count: int, valid: tuple[int, int], side: int) -> Tensor:
    """Shares [B,side*side,count] of the classes [B,h,h] in CLIP's patches; all zero outside the picture."""
    classes = centre_vertically(classes, valid)
    shares = F.one_hot(classes.clamp(min=0), count).float() * (classes >= 0)[..., None]
    return F.adaptive_avg_pool2d(shares.permute(0, 3, 1, 2), side).flatten(2).transpose(1, 2)


def centre_vertically(truth: Tensor, valid: tuple[int, int]) -> Tensor:
    """SAM pads below and right, ``clip_fit: pad`` on both sides: move the map [B,...,h,h] to where CLIP sees the picture."""
    rows, columns = valid[0] // 2, valid[1] // 2
    down, right = (truth.shape[-2] - rows) // 2, (truth.shape[-1] - columns) // 2
    return truth.roll((down, right), (-2, -1))
