"""Conversations of a language model that speaks ChatML: where an answer begins, and where [SEG] stands in it."""

import pytest
from tiny_gguf import language, write

from lisa_ros.engine.prompting import Prompter
from lisa_ros.model.config import LanguageConfig, LisaConfig, VisionConfig
from lisa_ros.model.gguf_language import convert_gguf
from lisa_ros.model.prompt import CONVERSATIONS, MASK_ANSWER
from lisa_ros.model.sam import SamConfig
from lisa_ros.training.start import _with_lisa_tokens

TURN = [("<im_start><image><im_end>\nthe cup", None)]
HEAD = "<|im_start|>user\n<im_start><image><im_end>\nthe cup<|im_end|>\n<|im_start|>assistant\n"


def test_an_opening_is_part_of_the_prompt_and_words_stand_behind_a_blank():
    plain, opened = CONVERSATIONS["chatml"], CONVERSATIONS["chatml_named"]
    assert plain.render(TURN) == HEAD and opened.render(TURN) == HEAD + "You mean the"
    (user, _), *_ = TURN
    assert opened.render([(user, "[SEG]. It is the cup.")]) == HEAD + "You mean the[SEG]. It is the cup.<|im_end|>"
    assert opened.render([(user, "cup. There is none.")]) == HEAD + "You mean the cup. There is none.<|im_end|>"
    assert plain.render([(user, "There is no cup.")]) == HEAD + "There is no cup.<|im_end|>"


@pytest.mark.parametrize("name", ["chatml", "chatml_named"])
@pytest.mark.parametrize("answer", [MASK_ANSWER, "[SEG]. It is the cup.", "There is no cup."])
def test_a_prompts_ids_are_the_beginning_of_its_answers(name, answer, tmp_path):
    """Training labels and forced answers are what follows the prompt's ids: these must not change when it does."""
    convert_gguf(write(tmp_path / "a.gguf", language()), tmp_path / "language")
    tokenizer = _with_lisa_tokens(tmp_path / "language", tmp_path / "tokenizer")
    sizes = LanguageConfig(64, 96, 2, 4, 2, tokenizer.vocab_size)
    prompter = Prompter(LisaConfig(sizes, VisionConfig(image_size=28), SamConfig()), tokenizer, name)
    prompt = prompter.prompt("the cup", "{query}")
    ids = prompter.answer_ids(prompt, answer)
    whole = tokenizer.encode_prompt(CONVERSATIONS[name].render([(prompt.turns[0][0], answer)]))
    assert whole == prompt.ids + ids
    assert (ids[0] == tokenizer.seg_id) == answer.startswith("[SEG]")
