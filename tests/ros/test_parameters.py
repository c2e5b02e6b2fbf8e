"""Parameters: the file and the code agree; bad values are refused with a sentence that names the parameter."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml
from rclpy.parameter import Parameter

from lisa_ros.node.parameters import LOAD_OPTIONS, PARAMETERS, ParameterError


def test_file_holds_exactly_the_declared_defaults():
    path = Path(__file__).parents[2] / "config" / "lisa.yaml"
    values = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    assert values == {declared.name: declared.default for declared in PARAMETERS}
    assert {k: type(v) for k, v in values.items()} == {declared.name: type(declared.default) for declared in PARAMETERS}


def test_everything_is_described(make_node):
    lisa = make_node(start=False)
    for declared in PARAMETERS:
        descriptor = lisa.node.describe_parameter(declared.name)
        assert len(descriptor.description) > 20
        assert descriptor.read_only == (declared.name == "autostart")


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("mode", "poem", 'parameter mode must be one of mask, chat, got "poem"'),
        ("model", "other", "parameter model can only change before configure; the node is active"),
        ("color_transport", "compressed", "parameter color_transport can only change before activate"),
        ("clip_fit", "pad", "parameter clip_fit can only change before configure; the node is active"),
        ("min_depth", 11.0, "parameter min_depth (11) must be smaller than max_depth (10)"),
        ("max_query_length", 0, "max_query_length"),
        ("sync_tolerance", float("nan"), "sync_tolerance"),
    ],
)
def test_bad_changes_are_refused(lisa, name, value, says):
    (answer,) = lisa.node.set_parameters([Parameter(name, value=value)])
    assert not answer.successful and says in answer.reason
    assert lisa.node.parameters[name] == next(d.default for d in PARAMETERS if d.name == name)


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("sync_tolerance", -1.0, "parameter sync_tolerance must be within 0 and 1"),
        ("max_query_length", "many", "parameter max_query_length must be an integer"),
        ("largest_cluster", 1, "parameter largest_cluster must be true or false"),
        ("min_depth", 20.0, "parameter min_depth (20) must be smaller than max_depth (10)"),
        ("model", " ", "parameter model must not be empty"),
        ("model", "", "parameter model must not be empty"),
        ("vision_tower", " ", "parameter vision_tower must not be empty"),
        ("conversation", "vicuna", 'parameter conversation must be one of llava_v1, llava_llama_2, chatml, chatml_named, "", got "vicuna"'),
        ("quantization", "", 'parameter quantization must be one of none, 8bit, 4bit, got ""'),
        ("clip_fit", "stretch", 'parameter clip_fit must be one of crop, pad, unpad, "", got "stretch"'),
        ("max_new_tokens", 0, "max_new_tokens"),
        ("cameras", ["front", "front"], "parameter cameras names one twice"),
        ("cameras", ["front", ""], "parameter cameras must be"),
        ("cameras", ["a/b"], "parameter cameras must be"),
        ("cameras", "front", "parameter cameras must be a list of texts"),
    ],
)
def test_bad_start_values_are_refused(make_node, name, value, says):
    with pytest.raises(ParameterError, match=re.escape(says)):
        make_node(start=False, **{name: value})


def test_good_changes_take_effect(lisa, client):
    (answer,) = lisa.node.set_parameters([Parameter("max_query_length", value=3)])
    assert answer.successful and lisa.node.parameters["max_query_length"] == 3
    client.connect()
    assert "max_query_length is 3" in client.ask("four").message


def test_model_may_change_when_unconfigured(make_node):
    lisa = make_node(start=False)
    (answer,) = lisa.node.set_parameters([Parameter("model", value="other")])
    assert answer.successful and lisa.node.parameters["model"] == "other"


@pytest.mark.parametrize("name", [declared.name for declared in PARAMETERS if declared.optional])
def test_optional_texts_may_be_set_and_emptied(make_node, name):
    lisa = make_node(start=False)
    declared = next(declared for declared in PARAMETERS if declared.name == name)
    for value in ((declared.choices or ("somewhere",))[0], ""):
        (answer,) = lisa.node.set_parameters([Parameter(name, value=value)])
        assert answer.successful and lisa.node.parameters[name] == value


def test_names_that_the_engine_knows_are_the_ones_declared():
    from lisa_ros.engine.engine import Engine
    from lisa_ros.model.prompt import CONVERSATIONS

    declared = {parameter.name: parameter for parameter in PARAMETERS}
    assert set(declared["conversation"].choices) == set(CONVERSATIONS)
    assert set(LOAD_OPTIONS) <= set(inspect.signature(Engine.load).parameters)
    assert inspect.signature(Engine.ask).parameters["max_new_tokens"].default == declared["max_new_tokens"].default


def test_qos_of_an_input_can_be_overridden(make_node, client):
    make_node(**{"qos_overrides./color/image_raw.subscription.reliability": "reliable"})
    client.connect()
    (info,) = client.node.get_subscriptions_info_by_topic("/color/image_raw")
    assert info.qos_profile.reliability.name == "RELIABLE"
    (info,) = client.node.get_subscriptions_info_by_topic("/depth/image_raw")
    assert info.qos_profile.reliability.name == "BEST_EFFORT"
    (info,) = client.node.get_publishers_info_by_topic("/lisa/points")
    assert info.qos_profile.reliability.name == "RELIABLE" and info.qos_profile.durability.name == "TRANSIENT_LOCAL"
