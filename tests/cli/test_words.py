import pytest

from masquerade.cli.words import most, sorted_out


@pytest.mark.parametrize(
    ("word", "target"),
    [
        ("epochs=3", False),
        ("maskers.0.grid=4", False),
        ("data=a=b/", False),
        ("data=", False),
        ("runs/a=1", True),
        ("./seed=1", True),
        ("a b=c", True),
        ("größe=3", True),
        ("=3", True),
        ("2024", True),
    ],
)
def test_a_word_is_a_setting_if_a_dotted_name_stands_before_its_equals_sign(
    word: str, target: bool
) -> None:
    found = sorted_out([word], (), ("epochs", "maskers", "data"))
    assert found.targets == ([word] if target else [])
    assert found.settings == ([] if target else [word])


def test_values_keep_their_own_equals_signs() -> None:
    assert sorted_out(["out=a=b/c"], ("out",)).reserved == {"out": "a=b/c"}


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert sorted_out(["out=a", "out=b"], ("out",)).reserved == {"out": "b"}


def test_a_misspelt_reserved_key_is_told_from_a_misspelt_setting() -> None:
    with pytest.raises(ValueError, match=r"Did you mean dry_run=\?"):
        sorted_out(["dryrun=true"], ("dry_run",), ("epochs",))
    assert sorted_out(["epohcs=3"], ("dry_run",), ("epochs",)).settings == ["epohcs=3"]


def test_a_verb_without_settings_says_what_it_takes() -> None:
    with pytest.raises(ValueError, match=r"chanels= .* Did you mean channels=\? It takes: chan"):
        sorted_out(["chanels=rgb"], ("channels",))
    with pytest.raises(ValueError, match="It takes: no settings"):
        sorted_out(["a=1"])


def test_flags_and_numbers_say_what_they_are() -> None:
    told = sorted_out(["dry_run=yes", "seed=-1"], ("dry_run", "seed"))
    with pytest.raises(ValueError, match="dry_run is true or false, got 'yes'"):
        told.flag("dry_run")
    with pytest.raises(ValueError, match="seed is a whole number, got '-1'"):
        told.whole("seed", 0)
    assert sorted_out([], ("seed",)).whole("seed", 7) == 7
    assert sorted_out(["x=TRUE"], ("x",)).flag("x")


def test_one_name_too_many_is_named() -> None:
    with pytest.raises(ValueError, match="'c' is one name too many: usage"):
        most(["a", "b", "c"], 2, "usage")
