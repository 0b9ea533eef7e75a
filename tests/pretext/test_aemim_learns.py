"""What AEMIM is for, at the size of papers/aemim.md, section 8: a minute of one core an arm."""

import pytest
from benchmarks.mim_damage import ARMS, damage, trained


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_aemim_cuts_the_damage_of_an_unseen_attack_and_noise_does_not(number):
    rise = {arm: damage(trained(arm, number), number).rise for arm in ARMS}
    assert rise["MAE"] > 0
    assert rise["AEMIM"] < 0.85 * rise["MAE"], rise
    assert rise["MAE + sign noise"] > 0.85 * rise["MAE"], rise
