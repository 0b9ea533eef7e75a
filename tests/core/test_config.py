from typing import Literal

import pytest
from pydantic import Field

from masquerade.core.config import Settings
from masquerade.engine.optimizers import adam, sgd
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.maskers import erase, sequential
from masquerade.maskers.base import MaskerConfig
from masquerade.objectives import simclr
from masquerade.objectives.base import ObjectiveConfig


class Job(Settings):
    maskers: tuple[MaskerConfig, ...] = ()
    objective: ObjectiveConfig = simclr.Config()
    optimizers: dict[str, OptimizerConfig] = Field({"encoder": sgd.Config()})
    epochs: int = Field(3, ge=1)
    name: str | None = None


def test_settings_survive_json():
    job = Job(maskers=(erase.Config(grid=4), sequential.Config(masks=2)), epochs=7)
    assert Job.parse(job.tree()) == job
    assert [m["kind"] for m in job.tree()["maskers"]] == ["erase", "sequential"]


def test_a_word_stands_for_a_plug_in_and_dotted_keys_reach_inside():
    job = Job().override(
        ["maskers=erase,sequential", "maskers.1.masks=3", "objective.temperature=0.5"]
    )
    assert job.maskers == (erase.Config(), sequential.Config(masks=3))
    assert job.objective == simclr.Config(temperature=0.5)


def test_a_plug_in_may_be_exchanged_and_then_set():
    job = Job().override(["optimizers.encoder=adam", "optimizers.encoder.lr=0.01"])
    assert job.optimizers["encoder"] == adam.Config(lr=0.01)


def test_an_index_just_past_the_end_adds_to_a_list():
    assert Job().override(["maskers.0=erase"]).maskers == (erase.Config(),)


@pytest.mark.parametrize(("text", "value"), [("none", None), ("a b", "a b"), ("5x", "5x")])
def test_values_are_json_or_text(text, value):
    assert Job().override([f"name={text}"]).name == value


def test_empty_parentheses_are_an_empty_list():
    assert Job(maskers=(erase.Config(),)).override(["maskers=()"]).maskers == ()


def test_all_mistakes_come_at_once_with_the_nearest_name():
    with pytest.raises(ValueError) as error:
        Job(maskers=(erase.Config(),)).override(
            [
                "maskers.0.gird=3",
                "epochs=0",
                "oen=1",
                "optimizers.encoder.lt=2",
                "objective=simclear",
            ]
        )
    text = str(error.value)
    assert "masquerade.maskers.erase has no setting 'gird'. Did you mean 'grid'?" in text
    assert "It has: pattern, grid, ratio, " in text
    assert "epochs must be at least 1, got 0" in text
    assert "Job has no setting 'oen'" in text
    assert "masquerade.engine.optimizers.sgd has no setting 'lt'" in text
    assert "no objective is called 'simclear'. Did you mean 'simclr'?" in text


def test_what_is_not_key_equals_value_is_told_with_the_rest():
    with pytest.raises(ValueError, match=r"'epochs' is not of the form key=value\nepochs must"):
        Job().override(["epochs", "epochs=0"])


def test_a_place_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"maskers.2.grid: there is no entry '2' in a list of 0"):
        Job().override(["maskers.2.grid=3"])


def test_changes_are_validated():
    with pytest.raises(ValueError, match="epochs"):
        Job().replace(epochs=0)


def test_a_module_of_another_family_is_refused():
    with pytest.raises(ValueError, match=r"sgd has no Config that is a MaskerConfig"):
        Job().override(["maskers=masquerade.engine.optimizers.sgd"])


def test_a_plug_in_without_a_name_is_asked_for_one():
    with pytest.raises(ValueError, match=r"say which masker with 'kind'; there are: .*erase, mix"):
        Job.parse({"maskers": [{"ratio": 0.5}]})


def test_a_module_that_is_not_there_is_one_sentence():
    with pytest.raises(ValueError, match=r"no module 'nobody.nothing' on the Python path"):
        Job().override(["maskers=nobody.nothing"])


class Compared(Settings):
    terms: tuple[Literal["clean", "masked"], ...] = Field(("clean",), min_length=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("terms=[x]", "terms.0 must be one of clean, masked, got '[x]'"),
        ('terms=["masked","x"]', "terms.1 must be one of clean, masked, got 'x'"),
        ("terms=()", "terms must have at least 1 entry"),
    ],
)
def test_a_bad_entry_of_a_list_is_one_sentence(text, said):
    with pytest.raises(ValueError) as refused:
        Compared().override([text])
    assert str(refused.value) == said
