"""What is trained: the paper's counts at full size, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import tiny_lisa

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.published import published_config
from lisa_ros.training.trainable import (
    LANGUAGE_ADAPTER,
    SAM_ADAPTER,
    SAM_TARGETS,
    Lora,
    Trainable,
    describe,
    make_trainable,
    trained_parameters,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("size", "lora", "vocabulary"), [("7b", 4_194_304, 32004 * 4096), ("13b", 6_553_600, 32003 * 5120)]
)
def test_counts_of_the_published_sizes(size, lora, vocabulary):
    with torch.device("meta"):
        lisa = Lisa(published_config(size))
    counts = make_trainable(lisa, Trainable())
    assert counts["lora"] == lora
    assert counts["embeddings"] == counts["lm_head"] == vocabulary
    assert counts["mask_decoder"] == 4_058_340
    assert counts["text_hidden_fcs"] == {"7b": 17_830_144, "13b": 27_530_496}[size]
    assert f"{lora:,}" in describe(lisa, counts)


def test_towers_projector_and_prompt_encoder_are_frozen():
    lisa = tiny_lisa()
    counts = make_trainable(lisa, Trainable())
    names = trained_parameters(lisa)
    assert sum(counts.values()) == sum(p.numel() for p in names.values())
    for frozen in ("vision_tower.", "model.mm_projector.", "image_encoder.", "prompt_encoder.", "base_layer."):
        assert not any(frozen in name for name in names), frozen


def test_trained_is_float32_and_frozen_keeps_its_precision():
    lisa = tiny_lisa().bfloat16()
    make_trainable(lisa, Trainable())
    assert {p.dtype for p in trained_parameters(lisa).values()} == {torch.float32}
    assert lisa.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16


def test_lora_begins_as_no_change_at_all():
    lisa = tiny_lisa()
    x = torch.randn(1, 5, lisa.config.language.hidden_size)
    before = lisa.model(x)
    make_trainable(lisa, Trainable())
    assert torch.equal(lisa.eval().model(x), before)


def test_sam_can_be_trained_by_lora_or_whole():
    lisa = tiny_lisa()
    counts = make_trainable(lisa, Trainable(lora=None, sam_lora=Lora(targets=SAM_TARGETS)))
    assert "lora" not in counts and counts["sam_lora"] > 0
    assert all("image_encoder.blocks" in name for name in trained_parameters(lisa) if "lora_" in name)
    lisa = tiny_lisa()
    counts = make_trainable(lisa, Trainable(image_encoder=True), recompute=True)
    assert counts["image_encoder"] == sum(p.numel() for p in lisa.sam.image_encoder.parameters())
    assert lisa.model.recompute and lisa.sam.image_encoder.recompute


def test_lora_on_both_models_acts_on_both():
    """Two adapters of one model would switch each other off in peft, without a word."""
    lisa = tiny_lisa()
    make_trainable(lisa, Trainable(sam_lora=Lora(targets=SAM_TARGETS)))
    lisa.eval()
    text, picture = torch.randn(1, 5, lisa.config.language.hidden_size), torch.randn(1, 3, 64, 64)
    for change, other in ((SAM_ADAPTER, LANGUAGE_ADAPTER), (LANGUAGE_ADAPTER, SAM_ADAPTER)):
        before = {LANGUAGE_ADAPTER: lisa.model(text), SAM_ADAPTER: lisa.sam.image_encoder(picture)}
        for name, parameter in trained_parameters(lisa).items():
            if f".lora_B.{change}." in name:
                torch.nn.init.normal_(parameter)
        after = {LANGUAGE_ADAPTER: lisa.model(text), SAM_ADAPTER: lisa.sam.image_encoder(picture)}
        assert not torch.equal(before[change], after[change]), change
        assert torch.equal(before[other], after[other])
    (after[LANGUAGE_ADAPTER].sum() + after[SAM_ADAPTER].sum()).backward()
    adapters = {name: p.grad for name, p in trained_parameters(lisa).items() if ".lora_" in name}
    assert adapters and all(grad is not None and grad.any() for grad in adapters.values())


def test_a_target_that_is_no_layer_is_refused():
    with pytest.raises(ValueError, match="query"):
        make_trainable(tiny_lisa(), Trainable(lora=Lora(targets=("query",))))


def test_nothing_from_the_hub_is_imported_with_peft(tmp_path):
    """On CPUs with AVX512-BF16 bitsandbytes, which peft imports, would fetch a kernel with the package ``kernels``."""
    (tmp_path / "kernels.py").write_text(f"open({str(tmp_path / 'asked')!r}, 'w')\n\ndef get_kernel(*_, **__):\n    raise OSError('no network here')\n")
    code = "import sys, lisa_ros.training.merge, lisa_ros.training.mini.reader, lisa_ros.training.trainable; assert 'peft' in sys.modules"
    path = os.pathsep.join([str(tmp_path), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "asked").exists() and "kernels" not in done.stderr


def test_peft_is_imported_in_one_place_alone():
    files = [path for part in ("lisa_ros", "scannet_tools") for path in (ROOT / part).rglob("*.py")]
    assert [path.name for path in files if re.search(r"^\s*(from|import) peft\b", path.read_text(encoding="utf-8"), re.MULTILINE)] == ["peft_layers.py"]
