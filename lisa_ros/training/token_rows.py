"""A table of one row a token (embeddings, lm_head) that stays frozen but for the rows of a few new tokens.

For a language model whose words shall stay as they are: three rows are learned, kept and shipped instead of a table of
tens of millions of values, and no other token's answer moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class TokenRows(nn.Module):
    """``nn.Embedding`` or ``nn.Linear`` (without bias) with its own rows for some tokens.

    Attributes:
        base_layer: the table [tokens,d]. rows: [k,d] float32, in the place of rows ``ids`` [k] of it.
    """

    def __init__(self, base_layer: nn.Embedding | nn.Linear, ids: Sequence[int]) -> None:
        super().__init__()
        self.base_layer = base_layer
        weight = base_layer.weight
        self.register_buffer("ids", torch.tensor(list(ids), device=weight.device), persistent=False)
        place = torch.full((len(weight),), -1, device=weight.device)
        place[self.ids] = torch.arange(len(self.ids), device=weight.device)
        self.register_buffer("place", place, persistent=False)
        self.rows = nn.Parameter(weight.detach()[self.ids].float())

    @property
    def weight(self) -> Tensor:
        """The frozen table [tokens,d]: for its device and dtype."""
        return self.base_layer.weight

    def merged(self) -> Tensor:
        """The table [tokens,d] with the learned rows in it."""
        return self.weight.detach().index_copy(0, self.ids, self.rows.detach().to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Ids -> embeddings, or hidden states -> scores, as the layer it stands for."""
        out = self.base_layer(x)
        if isinstance(self.base_layer, nn.Embedding):
            place = self.place[x]
            own = functional.embedding(place.clamp(min=0), self.rows).to(out.dtype)
            return torch.where(place[..., None] >= 0, own, out)
        return out.index_copy(-1, self.ids, functional.linear(x.to(self.rows.dtype), self.rows).to(out.dtype))
