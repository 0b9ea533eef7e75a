import torch
from hypothesis import given
from hypothesis import strategies as st

from masquerade.core.seed import Seed

NAMES = st.lists(st.one_of(st.integers(0, 9), st.text(max_size=3)), max_size=4)


@given(NAMES, NAMES)
def test_an_address_is_its_names_however_they_were_folded(first, second):
    assert Seed(3).fold(*first).fold(*second) == Seed(3).fold(*first, *second)


@given(NAMES, NAMES)
def test_different_addresses_give_different_numbers(first, second):
    same = Seed(3).fold(*first).integer() == Seed(3).fold(*second).integer()
    assert same == (repr(first) == repr(second))


def test_numbers_are_what_they_were_when_runs_were_first_stored():
    assert Seed(7).fold("step", 120, "masker").integer() == 6861421963122346726
    assert 0 <= Seed(0).integer() < 2**63


def test_a_number_and_its_text_are_different_names():
    assert Seed(0).fold(1).integer() != Seed(0).fold("1").integer()


def test_a_generator_begins_anew_at_every_call():
    seed = Seed(1).fold("view")
    assert torch.equal(
        torch.rand(3, generator=seed.generator()), torch.rand(3, generator=seed.generator())
    )
