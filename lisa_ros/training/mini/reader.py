"""The language model's training pass over many short questions about one picture.

What comes out is what ``Lisa.read`` gives for every question alone; what it costs is less. On a CPU two thirds of that pass are not matrix
products: attention's backward pass over a mostly forbidden square, norms, rotary codes and adapters in many small steps. Here all tokens of all
pictures stand in one list, layers that read the same input are one matrix with norm and adapters folded in, a picture's tokens attend in one
call and the questions behind it in another. benchmarks/reading.py measures both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from lisa_ros.model.llama import DecoderLayer, Llama
from lisa_ros.training.peft_layers import BaseTunerLayer
from lisa_ros.training.trainable import LANGUAGE_ADAPTER


class Reader:
    """Reads with a language model, whose weights may be frozen, trained or adapted.

    Args:
        dtype: what is computed in. Frozen weights are copied in it; those of a layer that is to be trained must say so before.
        watched: (layer, head) whose attention can be asked for.

    Raises:
        ValueError: an adapter has dropout, which cannot be folded into a matrix; or there is no such head.
    """

    def __init__(self, llama: Llama, dtype: torch.dtype, watched: Sequence[tuple[int, int]] = ()) -> None:
        layers, heads = len(llama.layers), llama.language.num_attention_heads
        for layer, head in watched:
            if not (0 <= layer < layers and 0 <= head < heads):
                raise ValueError(f"head {head} of layer {layer} is to be watched: there are {layers} layers of {heads} heads")
        self.llama, self.dtype = llama, dtype
        self.watched = [[head for number, head in watched if number == layer] for layer in range(layers)]
        self.layers = [FoldedLayer(layer, dtype) for layer in llama.layers]

    def __call__(self, pictures: Tensor, text: Tensor, slots: Tensor, asking: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Last hidden states [N,d] of the text, after the final norm; and how states look at their picture.

        Args:
            pictures: embeddings [B,P,d] of what every question about a picture begins with.
            text: embeddings [N,d] of all questions and answers, one after the other.
            slots: [B,n,W] places in ``text`` of each question's tokens; -1 behind its last one, or all along where a picture has fewer questions.
            asking: [k,3] states whose looking is wanted: (picture, question, token of it).

        Returns:
            States, and the attention [k,P] of each watched head ([] without ``asking``).
        """
        eps = self.llama.language.rms_norm_eps
        with torch.autocast(pictures.device.type, enabled=False):
            places = Places(self.llama, pictures.shape[1], slots, len(text), self.dtype)
            x = torch.cat([pictures.flatten(0, 1).to(self.dtype), text.to(self.dtype)])
            looks: list[Tensor] = []
            for layer, heads in zip(self.layers, self.watched):
                x, found = layer(x, places, eps, asking, heads)
                looks += found
            return normed(x[places.behind :], eps) * self.llama.norm.weight, looks


class Places:
    """Where everything stands in one pass; all layers share it.

    Attributes:
        behind: B * P, where the text begins in the list of tokens. shape: (B, n, W, P). heads: (key_value_heads, heads sharing each).
        turned: how many of a token's heads, queries and keys, have a rotary code.
        cos, sin: halves of the rotary code, [tokens,1,head_dim/2].
        sizes: rows of queries, keys and values in attention's order: first a picture's [B,heads,P], then its questions' [B,n,heads,W].
        into, back: for each such row its place among [tokens * (heads + 2 key_value_heads)], and for each of those its row.
        onto, from_: for each of [tokens * heads] its row in the order of queries, and for each such row where it goes. idle: rows that go nowhere.
        picture_mask [heads sharing * P, P], text_mask [heads sharing * W, P + W]: added to scores.
    """

    def __init__(self, llama: Llama, length: int, slots: Tensor, text: int, dtype: torch.dtype) -> None:
        config, device = llama.language, slots.device
        pictures, questions, width = slots.shape
        narrow, heads = config.num_key_value_heads, config.num_attention_heads
        self.shape, self.heads = (pictures, questions, width, length), (narrow, heads // narrow)
        self.turned = heads + narrow
        self.behind = pictures * length
        tokens = self.behind + text
        seen = torch.arange(self.behind, device=device).view(pictures, length)
        used = slots >= 0
        asked = torch.where(used, slots + self.behind, 0)

        def arange(count: int) -> Tensor:
            return torch.arange(count, device=device)

        positions = arange(length).repeat(pictures + text // length + 1)[:tokens]
        positions[asked[used]] = (length + arange(width)).expand_as(slots)[used]
        half = config.head_dim // 2
        self.cos, self.sin = (table[positions, None, :half].to(dtype) for table in (llama.rotary_cos, llama.rotary_sin))

        def rows(first: int, count: int, each: int) -> Tensor:
            """Rows of ``count`` heads from ``first`` on, of ``each`` a token; in attention's order."""
            head = (first + arange(count))[:, None]
            return torch.cat([(seen[:, None] * each + head).flatten(), (asked[:, :, None] * each + head).flatten()])

        def real(count: int) -> Tensor:
            return torch.cat([torch.ones(self.behind * count, dtype=torch.bool, device=device), used[:, :, None].expand(-1, -1, count, -1).flatten()])

        each = heads + 2 * narrow
        parts = [rows(0, heads, each), rows(heads, narrow, each), rows(heads + narrow, narrow, each)]
        self.sizes = [len(part) for part in parts]
        self.into, taken = torch.cat(parts), torch.cat([real(heads), real(narrow), real(narrow)])
        self.back = torch.empty(tokens * each, dtype=torch.long, device=device)
        self.back[self.into[taken]] = arange(len(self.into))[taken]
        self.from_, taken = rows(0, heads, heads), real(heads)
        self.onto = torch.empty(tokens * heads, dtype=torch.long, device=device)
        self.onto[self.from_[taken]] = arange(len(self.from_))[taken]
        self.idle = arange(len(self.from_))[~taken]

        later = torch.full((length, length), float("-inf"), dtype=dtype, device=device).triu(1)
        self.picture_mask = later.repeat(heads // narrow, 1)
        own = torch.full((width, width), float("-inf"), dtype=dtype, device=device).triu(1)
        self.text_mask = torch.cat([own.new_zeros(width, length), own], 1).repeat(heads // narrow, 1)


class FoldedLayer:
    """A decoder layer as four matrices."""

    def __init__(self, layer: DecoderLayer, dtype: torch.dtype) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.head_dim = attention.head_dim
        scale = self.head_dim**-0.5
        self.qkv = Folded((attention.q_proj, attention.k_proj, attention.v_proj), dtype, layer.input_layernorm.weight, (scale, 1.0, 1.0))
        self.out = Folded((attention.o_proj,), dtype)
        self.gate_up = Folded((mlp.gate_proj, mlp.up_proj), dtype, layer.post_attention_layernorm.weight)
        self.down = Folded((mlp.down_proj,), dtype)

    def __call__(self, x: Tensor, places: Places, eps: float, asking: Tensor | None, heads: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """[tokens,d] -> [tokens,d], and the attention of ``heads`` that is asked for."""
        qkv = (normed(x, eps) @ self.qkv.matrix().T).unflatten(1, (-1, self.head_dim))
        rows = Rotated.apply(qkv, places.cos, places.sin, places.turned).flatten(0, 1)
        mixed, looks = attend(Reordered.apply(rows, places.into, places.back, None), places, asking, heads)
        mixed = Reordered.apply(mixed, places.onto, places.from_, places.idle).view(len(x), -1)
        x = torch.addmm(x, mixed, self.out.matrix().T)
        return torch.addmm(x, Gated.apply(normed(x, eps) @ self.gate_up.matrix().T), self.down.matrix().T), looks


class Folded:
    """Linear layers [o_i,d] of one input as one matrix [sum of o_i,d].

    Args:
        gain: weight [d] of the norm before them. scales: factors of what comes out of each.
    """

    def __init__(self, layers: Sequence[nn.Module], dtype: torch.dtype, gain: Tensor | None = None, scales: Sequence[float] | None = None) -> None:
        self.layers, self.dtype, self.gain, self.scales = layers, dtype, gain, scales or (1.0,) * len(layers)
        self.adapted = [isinstance(layer, BaseTunerLayer) for layer in layers]
        for layer, adapted in zip(layers, self.adapted):
            if adapted and isinstance(layer.lora_dropout[LANGUAGE_ADAPTER], nn.Dropout):
                raise ValueError("lora.dropout must be 0 where adapters are folded into the matrices")
        self.weights = [layer.base_layer.weight if adapted else layer.weight for layer, adapted in zip(layers, self.adapted)]
        fixed = not any(part.requires_grad for part in (*self.weights, gain) if part is not None)
        self.fixed = self._without_adapters() if fixed else None

    def matrix(self) -> Tensor:
        """The matrix with what the adapters add today."""
        whole = self._without_adapters() if self.fixed is None else self.fixed
        if not any(self.adapted):
            return whole
        downs, ups = [], []
        for layer, weight, adapted, scale in zip(self.layers, self.weights, self.adapted, self.scales):
            if adapted:
                downs.append(layer.lora_A[LANGUAGE_ADAPTER].weight)
                ups.append(layer.lora_B[LANGUAGE_ADAPTER].weight * (layer.scaling[LANGUAGE_ADAPTER] * scale))
            else:
                ups.append(torch.zeros(len(weight), 0, device=weight.device))
        return torch.addmm(whole, torch.block_diag(*ups).to(self.dtype), self._gained(torch.cat(downs)).to(self.dtype))

    def _without_adapters(self) -> Tensor:
        return self._gained(torch.cat([weight.float() * scale for weight, scale in zip(self.weights, self.scales)])).to(self.dtype)

    def _gained(self, matrix: Tensor) -> Tensor:
        return matrix if self.gain is None else matrix * self.gain


def attend(rows: Tensor, places: Places, asking: Tensor | None, heads: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Attention of rows in its order (see ``Places.into``): [queries,head_dim], and what is asked for of ``heads`` (see ``Reader``). Queries come scaled."""
    pictures, questions, width, length = places.shape
    narrow, shared = places.heads
    q, k, v = rows.split(places.sizes)
    count = pictures * narrow * length

    def picture(x: Tensor) -> Tensor:
        return x[: count * (len(x) // len(k))].view(pictures * narrow, -1, x.shape[1])

    def asked(x: Tensor) -> Tensor:
        return x[count * (len(x) // len(k)) :].view(pictures, questions, narrow, -1, x.shape[1])

    def behind_picture(x: Tensor) -> Tensor:
        seen = picture(x).view(pictures, 1, narrow, length, -1).expand(-1, questions, -1, -1, -1)
        return torch.cat([seen, asked(x)], 3).flatten(0, 2)

    of_pictures, of_text = _weights(picture(q), picture(k), places.picture_mask), _weights(asked(q).flatten(0, 2), behind_picture(k), places.text_mask)
    mixed = torch.cat([torch.bmm(of_pictures, picture(v)).flatten(0, 1), torch.bmm(of_text, behind_picture(v)).flatten(0, 1)])
    if asking is None:
        return mixed, []
    row, number, place = asking.unbind(1)
    weights = of_text.view(pictures, questions, narrow * shared, width, -1)
    return mixed, [weights[row, number, head, place, :length] for head in heads]


def _weights(q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
    return torch.baddbmm(mask.expand(len(q), -1, -1), q, k.transpose(1, 2)).softmax(-1)


def normed(x: Tensor, eps: float) -> Tensor:
    """RMSNorm (Zhang and Sennrich, 2019) of [n,d] without its weight."""
    return Normed.apply(x, eps)


class Normed(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, eps: float) -> Tensor:
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        factor = (size.square() / x.shape[-1] + eps).rsqrt().to(x.dtype)
        out = x * factor
        ctx.save_for_backward(out, factor)
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        out, factor = ctx.saved_tensors
        along = (grad * out).mean(-1, keepdim=True)
        return torch.addcmul(grad, out, along, value=-1).mul_(factor), None


class Gated(Function):
    """silu(gate) * up of [n,2f] -> [n,f], some rows at a time: what lies between stays in a core's cache."""

    ROWS = 512

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        out = x.new_empty(len(x), x.shape[1] // 2)
        for rows, to in zip(x.split(Gated.ROWS), out.split(Gated.ROWS)):
            gate, up = rows.chunk(2, 1)
            torch.mul(torch.nn.functional.silu(gate), up, out=to)
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x)
        for rows, of_rows, to in zip(x.split(Gated.ROWS), grad.split(Gated.ROWS), out.split(Gated.ROWS)):
            (gate, up), (of_gate, of_up) = rows.chunk(2, 1), to.chunk(2, 1)
            torch.mul(torch.nn.functional.silu(gate), of_rows, out=of_up)
            torch.ops.aten.silu_backward.grad_input(of_rows * up, gate, grad_input=of_gate)
        return out


class Rotated(Function):
    """The first ``count`` heads of [n,heads,head_dim], turned by the rotary code; the others as they are."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, cos: Tensor, sin: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.count = count
        return _turn(x, cos, sin, count)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(grad, cos, -sin, ctx.count), None, None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, count: int) -> Tensor:
    out = torch.empty_like(x)
    out[:, count:] = x[:, count:]
    first, second = x[:, :count].chunk(2, -1)
    to_first, to_second = out[:, :count].chunk(2, -1)
    torch.mul(first, cos, out=to_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=to_second).addcmul_(first, sin)
    return out


class Reordered(Function):
    """Rows ``take`` of x. ``back``: where each row of x went; ``idle``: rows of x that went nowhere, whose gradient is zero.

    A row may be taken more than once, as padding: whoever looks at padding must give it no gradient.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, take: Tensor, back: Tensor, idle: Tensor | None) -> Tensor:
        ctx.save_for_backward(back, idle)
        return x.index_select(0, take)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        back, idle = ctx.saved_tensors
        out = grad.index_select(0, back)
        return (out if idle is None else out.index_fill_(0, idle, 0.0)), None, None, None
