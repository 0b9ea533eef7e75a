"""What the settings of every plug-in keep: no data is needed to read, write or list them."""

import json

import pytest

from masquerade.attacks.base import AttackConfig
from masquerade.certify.base import RuleConfig
from masquerade.certify.learners.base import LearnerConfig
from masquerade.certify.nets.base import NetConfig
from masquerade.core import plugins
from masquerade.core.config import Plug
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.evaluate.base import ProtocolConfig
from masquerade.maskers.base import MaskerConfig
from masquerade.objectives.base import ObjectiveConfig
from masquerade.tickets.optimizers.base import MeanOptimizerConfig
from masquerade.tickets.problems.base import ProblemConfig
from masquerade.tickets.strategies.base import StrategyConfig

FAMILIES: list[type[Plug]] = [
    SourceConfig,
    MaskerConfig,
    ObjectiveConfig,
    OptimizerConfig,
    ProtocolConfig,
    AttackConfig,
    RuleConfig,
    LearnerConfig,
    NetConfig,
    StrategyConfig,
    MeanOptimizerConfig,
    ProblemConfig,
]
every_plugin = pytest.mark.parametrize(
    ("base", "name"),
    [pytest.param(b, n, id=f"{b.family}-{n}") for b in FAMILIES for n in plugins.names(b.family)],
)


def plain(base, name):
    """The defaults; what has none is a path."""
    found = base.called(name)
    needed = {n: "somewhere" for n, f in found.model_fields.items() if f.is_required()}
    return found(**needed)


@every_plugin
def test_settings_survive_json_and_are_found_by_their_kind(base, name):
    config = plain(base, name)
    assert config.kind == name
    assert base.parse(json.loads(json.dumps(config.tree()))) == config


@every_plugin
def test_an_unknown_key_is_refused_with_those_there_are(base, name):
    known = list(base.called(name).model_fields)
    with pytest.raises(ValueError, match=r"no setting 'nonsense'") as refused:
        base.parse({**plain(base, name).tree(), "nonsense": 1})
    assert all(key in str(refused.value) for key in known)


@every_plugin
def test_every_setting_is_explained(base, name):
    found = base.called(name)
    text = "".join(c.__doc__ or "" for c in found.__mro__ if c.__module__.startswith("masquerade"))
    assert [n for n in found.model_fields if f"{n}:" not in text] == []


@pytest.mark.parametrize("base", FAMILIES, ids=[b.family for b in FAMILIES])
def test_a_family_lists_one_line_for_each(base):
    listed = plugins.listed(base.family)
    assert listed
    assert all(10 < len(p.summary) < 110 for p in listed), listed
