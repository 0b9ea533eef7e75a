import textwrap

import pytest

from masquerade.core import plugins

OWN = '''
"""Stripes: hide whole columns."""

from masquerade.maskers.base import MaskerConfig


class Config(MaskerConfig):
    """Settings of stripes."""
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "workshop").mkdir()
    (tmp_path / "workshop" / "stripes.py").write_text(textwrap.dedent(OWN).lstrip())
    monkeypatch.chdir(tmp_path)
    return "workshop.stripes"


def test_a_family_is_its_folder():
    found = plugins.listed("masquerade.maskers")
    assert {p.name for p in found} >= {"erase", "sequential"}
    assert "base" not in {p.name for p in found}
    assert all(p.summary.endswith(".") for p in found)


def test_a_file_outside_the_package_is_found_by_its_dotted_path(own):
    assert plugins.module("masquerade.maskers", own, "masker").Config
    assert plugins.listed("masquerade.maskers", (own,))[-1] == (own, "Stripes: hide whole columns.")


def test_names_find_their_modules_again():
    assert plugins.short("masquerade.maskers", "masquerade.maskers.erase") == "erase"
    assert plugins.short("masquerade.maskers", "workshop.stripes") == "workshop.stripes"


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(
        ValueError, match=r"no masker is called 'sequentail'. Did you mean 'sequential'"
    ):
        plugins.module("masquerade.maskers", "sequentail", "masker")
