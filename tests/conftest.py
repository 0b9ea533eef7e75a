"""One compute thread per test process, and an image cache of the tests' own."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # two pytest workers on two cores; read when torch starts
os.environ["MKL_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

# A test states a fact, not how long this machine takes for it while it is busy.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither see nor fill the user's cache; processes they start inherit this one."""
    os.environ["MASQUERADE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
