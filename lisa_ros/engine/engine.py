"""The engine: encode a frame once, then ask it any number of queries.

What does not depend on the query is computed in ``encode``: SAM's image embedding, and the language model's keys and
values of the prompt's beginning with the picture (292 positions for LISA v1). A query then costs its own few tokens and
one run of the mask decoder. On CUDA, SAM runs on a stream of its own beside the language model, and the host waits for
the device once: when the masks are copied out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lisa_ros.engine.acceleration import Stage
from lisa_ros.engine.clock import StageClock
from lisa_ros.engine.models import resolve_model, resolve_vision_tower
from lisa_ros.engine.naming import NAMES_ROOM, Grammar, name
from lisa_ros.engine.precision import DTYPES, choose_dtype
from lisa_ros.engine.prompting import Prompter
from lisa_ros.engine.reading import Prefix, Reader, Readings, force
from lisa_ros.engine.segmentation import Cancelled, Segmentation
from lisa_ros.engine.upload import upload
from lisa_ros.engine.writing import Writer, write
from lisa_ros.model.checkpoint import QUANTIZATIONS, load_checkpoint
from lisa_ros.model.config import first_line
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.preprocessing import CLIP_FITS, preprocess
from lisa_ros.model.prompt import CONVERSATIONS, MASK_ANSWER
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.model.tokenizer import LisaTokenizer



@dataclass
class EncodedFrame:
    """Everything about a picture that no query changes.

    Attributes:
        sam_embedding: [1,dim,g,g]; on CUDA complete once ``sam_ready`` has happened.
        prefix: the language model's share.
        original, resized: height and width of the picture, and of the picture inside SAM's square.
        clock: what encoding took, see ``seconds``.
    """

    sam_embedding: Tensor
    prefix: Prefix
    original: tuple[int, int]
    resized: tuple[int, int]
    clock: StageClock
    sam_ready: torch.cuda.Event | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """Stage -> seconds spent encoding. Waits for the device."""
        return self.clock.seconds()


class Engine:
    """A loaded model. One thread at a time may use it.

    Attributes:
        name: the checkpoint's name. device, dtype, quantization: where and how it computes.
        min_target_probability: below it mask mode answers "not found" and chat mode does not say [SEG]; 0 leaves it to
            the model, as for the published ones.
    """

    def __init__(
        self,
        lisa: Lisa,
        tokenizer: LisaTokenizer,
        *,
        conversation: str | None = None,
        quantization: str = "none",
        compile: bool = False,
    ) -> None:
        self._lisa, self._tokenizer = lisa, tokenizer
        weight = lisa.lm_head.weight
        self._device, self._dtype = weight.device, weight.dtype
        self.name = lisa.config.name
        self.device = str(weight.device)
        self.dtype = str(weight.dtype).removeprefix("torch.")
        self.quantization = quantization
        self.min_target_probability = lisa.config.min_target_probability
        self._prompter = Prompter(lisa.config, tokenizer, conversation or lisa.config.conversation)
        self._reader = Reader(lisa, self._prompter.prefix_ids, tokenizer.seg_id, static=compile)
        self._grammar = Grammar(tokenizer) if self._prompter.naming else None
        self._look = Stage("the CLIP tower", lisa.look, compile, self._device)
        self._see = Stage("SAM's image encoder", lisa.sam.image_encoder, compile, self._device)
        self._side = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    @classmethod
    def load(
        cls,
        model: str | Path = "lisa-mini",
        *,
        device: str = "auto",
        dtype: str = "auto",
        vision_tower: str | Path | None = None,
        conversation: str | None = None,
        quantization: str = "none",
        clip_fit: str | None = None,
        compile: bool = False,
    ) -> Engine:
        """Load a model.

        Args:
            model: ``lisa-mini``, a checkpoint directory, or a hub id.
            device: "auto" (CUDA when there is one, else CPU), or any torch device: "cpu", "cuda", "cuda:1", "mps", ...
            dtype: "auto" (bfloat16 on CUDA and on CPUs that multiply it, else float32), "float32", "bfloat16" or "float16".
            vision_tower: directory or hub id of the CLIP tower for checkpoints that hold none.
            conversation: prompt template; None takes the checkpoint's.
            quantization: "8bit" or "4bit" weights of the language model's layers, or "none".
            clip_fit: what the language model sees: "crop" (the reference: the middle square), "pad" (the whole
                picture in a square) or "unpad" (the whole picture alone); None takes the checkpoint's.
            compile: compile the stages and, on CUDA, capture them as graphs. Takes minutes here, saves milliseconds
                later.

        Raises:
            CheckpointError: the model cannot be loaded, or does not fit into memory.
            ValueError: an unknown device, dtype, conversation, quantization or clip_fit.
        """
        for name, value, known in (
            ("conversation", conversation, (None, *CONVERSATIONS)),
            ("quantization", quantization, QUANTIZATIONS),
            ("clip_fit", clip_fit, (None, *CLIP_FITS)),
            ("dtype", dtype, ("auto", *DTYPES)),
        ):
            if value not in known:
                raise ValueError(f'{name} "{value}" is not known; choose from {", ".join(filter(None, known))}')
        chosen = choose_device(device)
        directory = resolve_model(model)
        tower = resolve_vision_tower(model, directory, vision_tower)
        lisa, tokenizer = load_checkpoint(
            directory, vision_tower=tower, device=chosen, dtype=choose_dtype(dtype, chosen), quantization=quantization
        )
        if clip_fit is not None:
            lisa.config = dataclasses.replace(lisa.config, clip_fit=clip_fit)
        engine = cls(lisa, tokenizer, conversation=conversation, quantization=quantization, compile=compile)
        if compile:
            engine._warm_up()
        return engine

    @torch.inference_mode()
    def encode(self, image: np.ndarray) -> EncodedFrame:
        """Encode a picture, uint8 [H,W,3] RGB. Raises ValueError for anything else."""
        with self._on_device():
            return self._encode(image)

    def _encode(self, image: np.ndarray) -> EncodedFrame:
        config, clock = self._lisa.config, StageClock(self._device)
        with clock.stage("preprocess"):
            inputs = preprocess(image, config.vision.image_size, config.sam.image_size, config.clip_fit)
            pixels = upload(inputs.sam, self._device)[None]
            clip = upload(inputs.clip, self._device)[None].to(self._dtype)
        with self._beside(), clock.stage("sam"):
            embedding = self._see(self._lisa.sam.normalise(pixels).to(self._dtype))
            ready = None if self._side is None else torch.cuda.Event()
            if ready is not None:
                pixels.record_stream(self._side)
                ready.record()
        with clock.stage("clip"):
            patches = self._lisa.without_bars(self._look(clip), *inputs.original)
        with clock.stage("prefix"):
            prefix = self._reader.prefix(patches)
        return EncodedFrame(embedding, prefix, inputs.original, inputs.resized, clock, ready)

    @torch.inference_mode()
    def ask(
        self,
        encoded: EncodedFrame,
        queries: Sequence[str],
        *,
        mode: str = "mask",
        raw: bool = False,
        answer: str | None = None,
        keep_logits: bool = False,
        max_new_tokens: int = 64,
        history: Sequence[tuple[str, str]] = (),
        on_text: Callable[[int, str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Segmentation]:
        """Answer queries about an encoded frame, all in one batch.

        Args:
            mode: "mask" forces the answer "[SEG]." (the paper's evaluation: one prefill, nothing is generated), or, of a
                model that names things, a name and [SEG]; "chat" generates greedily and every [SEG] becomes an instance.
            raw: the query is the whole user turn; no template around it.
            answer: teacher-forced answer instead of "[SEG]." (mask mode).
            keep_logits: fill mask_logits, low_res_logits and seg_embeddings.
            max_new_tokens: longest generated answer.
            history: earlier (query, answer) turns of a conversation about this frame, for every one of ``queries``.
                Their [SEG] make no instances again.
            on_text: called with (number of the query, its answer so far) as a generated answer grows.
            should_stop: asked between steps.

        Raises:
            QueryError: a prompt longer than the model's context.
            ValueError: an unknown mode, or no room for an answer.
            Cancelled: ``should_stop`` returned True.
        """
        if mode not in ("mask", "chat"):
            raise ValueError(f'mode must be "mask" or "chat", got "{mode}"')
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
        if not queries:
            return []
        stop, clock = _Stop(should_stop), StageClock(self._device)
        template = "{query}" if raw else self._lisa.config.query_template
        prompts = [self._prompter.prompt(query, template, history) for query in queries]
        with self._on_device():
            if mode == "mask" and answer is None and self._prompter.naming:
                for prompt in prompts:
                    self._prompter.check_length(prompt, NAMES_ROOM)
                readings = name(self._reader, self._grammar, encoded.prefix, prompts, clock, stop.check)
            elif mode == "mask":
                with clock.stage("language"):
                    given = MASK_ANSWER if answer is None else answer
                    readings = force(self._reader, self._prompter, encoded.prefix, prompts, given)
            else:
                for prompt in prompts:
                    self._prompter.check_length(prompt, max_new_tokens)
                writer = Writer(len(prompts), self._tokenizer, on_text)
                readings = write(
                    self._reader,
                    encoded.prefix,
                    prompts,
                    writer,
                    clock,
                    max_new_tokens=max_new_tokens,
                    min_target_probability=self.min_target_probability,
                    check_stop=stop.check,
                )
            stop.check()
            return self._segment(
                encoded,
                queries,
                [prompt.ids for prompt in prompts],
                readings,
                clock,
                keep_logits=keep_logits,
                refusing=mode == "mask" and answer is None,
            )

    def close(self) -> None:
        """Let go of the weights."""
        self._lisa = self._reader = self._look = self._see = None

    def _segment(
        self,
        encoded: EncodedFrame,
        queries: Sequence[str],
        input_ids: list[list[int]],
        readings: Readings,
        clock: StageClock,
        *,
        keep_logits: bool,
        refusing: bool,
    ) -> list[Segmentation]:
        """All masks of all queries in one run of the mask decoder, and the only wait for the device. ``refusing``: drop
        those of queries whose target is too improbable."""
        with clock.stage("decode"):
            if encoded.sam_ready is not None:
                encoded.sam_ready.wait()
                encoded.sam_embedding.record_stream(torch.cuda.current_stream(self._device))
            prompts = self._lisa.mask_prompt(readings.hidden).to(encoded.sam_embedding.dtype)
            low_res = self._lisa.sam.masks(encoded.sam_embedding, prompts)
        with clock.stage("upscale"):
            logits = upscale_masks(low_res, self._lisa.config.sam.image_size, encoded.resized, encoded.original)
            masks = logits > 0
            inside = masks.flatten(1)
            scores = (logits.sigmoid().flatten(1) * inside).sum(1) / inside.sum(1).clamp(min=1)
        with clock.stage("copy"):
            masks, scores = masks.cpu().numpy(), scores.float().cpu().numpy()
            probabilities = readings.probability.tolist()
            kept = [x.float().cpu().numpy() if keep_logits else None for x in (logits, low_res, prompts)]
        seconds = clock.seconds()
        results, begin = [], 0
        for number, (query, count) in enumerate(zip(queries, readings.counts)):
            refused = refusing and probabilities[number] < self.min_target_probability
            output_ids = [] if refused else readings.output_ids[number]
            part = slice(begin, begin if refused else begin + count)
            begin += count
            results.append(
                Segmentation(
                    query=query,
                    answer=self._tokenizer.decode(output_ids, skip_special=True),
                    target_probability=probabilities[number],
                    masks=masks[part],
                    mask_scores=scores[part],
                    input_ids=input_ids[number],
                    output_ids=output_ids,
                    seconds=dict(seconds),
                    mask_logits=None if kept[0] is None else kept[0][part],
                    low_res_logits=None if kept[1] is None else kept[1][part],
                    seg_embeddings=None if kept[2] is None else kept[2][part],
                )
            )
        return results

    def _on_device(self) -> AbstractContextManager:
        """On CUDA: streams and events are those of this engine's GPU, whichever thread asks."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """On CUDA: the block runs on the side stream, after what the main one has been given so far."""
        if self._side is None:
            yield
            return
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            yield

    def _warm_up(self) -> None:
        """Compile for the usual shapes: one query of usual length, in both modes."""
        encoded = self.encode(np.zeros((480, 640, 3), np.uint8))
        for mode in ("mask", "chat"):
            self.ask(encoded, ["the thing"], mode=mode)


def choose_device(device: str) -> torch.device:
    """ "auto" or a torch device name -> a device that is there. Raises ValueError when it is not."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device "{device}" is not known; give auto, cpu, cuda, cuda:1, mps, ...') from error
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f'device "{device}" cannot be used here ({first_line(error)}); give auto or cpu') from error
    return chosen


class _Stop:
    def __init__(self, should_stop: Callable[[], bool] | None) -> None:
        self._should_stop = should_stop

    def check(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise Cancelled("the query was cancelled")
