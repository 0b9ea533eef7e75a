import pytest

from masquerade.certify import fa
from masquerade.data.sources import digits, toybox
from masquerade.jobs.certify_settings import Certify


def told(*words: str) -> Certify:
    return Certify(data=toybox.Config()).with_words(list(words))


def test_shorthands_reach_every_rule():
    config = told("rule=dpa,fa", "ties=index", "tight=false", "asserted=label_free,unreachable")
    assert list(config.rules) == ["dpa", "fa"]
    assert config.rules["fa"] == fa.Config(ties="index", tight=False)
    assert config.asserted == ("label_free", "unreachable")
    assert told("rules.fa.tight=false").rules["fa"].tight is False
    assert told("budgets=3,1").shown() == [1, 3]
    assert told("parts=250").shown() == [25, 50, 75, 100]
    assert told("parts=2").shown() == [1]


def test_settings_survive_json():
    config = told("rule=roe_fa", "learner=centroid", "assign=dealt", "spread=8", "parts=20")
    assert Certify.parse(config.tree()) == config
    assert config.divided("roe_fa").models == 160
    assert config.divided("dpa").models == 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rule="], "name a rule"),
        (["rule=dap"], "Did you mean 'dpa'"),
        (["budgets=-1"], "budgets"),
        (["asserted=trust_me"], "asserted"),
        (["learner=rigde"], "Did you mean 'ridge'"),
        (["spread=1"], "spread must be at least 2"),
    ],
)
def test_mistakes_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        told(*words)


def test_the_split_that_is_certified_is_another_than_the_heads_were_fitted_on():
    assert told().splits() == ("train", "test")
    assert told("train=test").splits() == ("test", "seen")
    assert Certify(data=digits.Config()).splits() == ("train", "test")
