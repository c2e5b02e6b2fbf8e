"""The README.md that goes out with a trained checkpoint: what it was made of, how, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def model_card(name: str, about: Mapping[str, Any], *, dtype: str) -> str:
    """A model card.

    Args:
        about: a run's ``adapter.json``.
        dtype: stored precision, in words.
    """
    recipe = about.get("recipe", {})
    start = {key: value for key, value in about["start"].items() if value is not None}
    sets = [one for group in recipe.get("data", {}).get("groups", {}).values() for one in group["sets"]]
    giou = about.get("best_giou")
    validation = recipe.get("validation") or {}
    measured = (
        f"gIoU {giou:.4f} on {validation.get('set')} {validation.get('split')}, the best of the run's validations."
        if giou is not None
        else "Nothing was measured during the run."
    )
    return f"""\
---
library_name: lisa_ros
pipeline_tag: image-segmentation
tags: [reasoning-segmentation, lisa]
---
# {name}

A LISA (Lai et al., "LISA: Reasoning Segmentation via Large Language Model", CVPR 2024) in the published layout,
trained with lisa_ros.

```
lisa segment --model {name} --image a.png --query "the thing one can drink from" --out out
```

- **Began with**: {", ".join(f"{key} `{value}`" for key, value in start.items())}
- **Trained on**: {", ".join(sets) or "unknown"}; {about.get("update", "?")} updates
- **Stored as**: {dtype}; LoRA is merged
- **Measured**: {measured} Protocol: docs/training.md of lisa_ros. Say which split and which protocol when you compare.
- **Limits**: those of what it began with and of what it was trained on. Like every LISA it answers with one mask for
  each [SEG], and without training on absent targets it always finds something.
- **Licence**: that of the weights it began with; fill it in before you publish.

## Recipe

```yaml
{yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True).rstrip()}
```
"""
