"""Conversation templates (LISA's ``conversation.py``, and SmolLM2's ChatML) and the question wordings of its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lisa_ros.model.tokenizer import IMAGE, IMAGE_END, IMAGE_START, SEG

PICTURE = IMAGE_START + IMAGE + IMAGE_END
MASK_ANSWER = f"{SEG}."  # what mask mode forces the model to say (paper's evaluation protocol)


@dataclass(frozen=True)
class Conversation:
    """How turns become one text. ``render`` leaves the last answer open when it is None.

    Attributes:
        opening: what every answer begins with, as a part of the prompt.
        naming: answers name a thing before its [SEG], which takes its mask from a state that has just read the name.
    """

    name: str
    system: str
    opening: str = ""
    naming: bool = False

    def render(self, turns: Sequence[tuple[str, str | None]]) -> str:
        """(user text, answer) turns -> the prompt; the picture goes in front of the first user text."""
        if self.name == "llava_v1":
            return self._vicuna(turns)
        if self.name.startswith("chatml"):
            return self._chatml(turns)
        return self._llama_2(turns)

    def _vicuna(self, turns: Sequence[tuple[str, str | None]]) -> str:
        text = self.system + " "
        for user, answer in turns:
            text += f"USER: {user} ASSISTANT:" + (f" {answer}</s>" if answer is not None else "")
        return text

    def _chatml(self, turns: Sequence[tuple[str, str | None]]) -> str:
        """A turn begins with its line break, so that nothing that is learned follows an answer's end."""
        text = ""
        for index, (user, answer) in enumerate(turns):
            text += ("\n" if index else "") + f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{self.opening}"
            blank = " " if self.opening and answer is not None and not answer.startswith(SEG) else ""
            text += f"{blank}{answer}<|im_end|>" if answer is not None else ""
        return text

    def _llama_2(self, turns: Sequence[tuple[str, str | None]]) -> str:
        text = ""
        for index, (user, answer) in enumerate(turns):
            head = f"<<SYS>>\n{self.system}\n<</SYS>>\n\n" if index == 0 else ""
            text += (
                ("<s>" if index else "")
                + f"[INST] {head}{user} [/INST]"
                + (f" {answer} </s>" if answer is not None else "")
            )
        return text


CONVERSATIONS = {
    "llava_v1": Conversation(
        "llava_v1",
        "A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions.",
    ),
    "llava_llama_2": Conversation(
        "llava_llama_2",
        "You are a helpful language and vision assistant. "
        "You are able to understand the visual content that the user provides, "
        "and assist the user with a variety of tasks using natural language.",
    ),
    "chatml": Conversation("chatml", ""),
    "chatml_named": Conversation("chatml_named", "", "You mean the", naming=True),
}


def user_turn(query: str, template: str, picture: str = PICTURE) -> str:
    """A query as the user's turn.

    Args:
        template: holds ``{query}``; published models were trained on "... Please output segmentation mask.".
        picture: how the checkpoint writes the picture (PICTURE, or IMAGE alone without markers); "" in later turns of a
            conversation, where it is not shown again.
    """
    text = template.replace("{query}", query)
    return f"{picture}\n{text}" if picture else text
