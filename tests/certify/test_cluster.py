"""Two workers of Ray on this machine train the bits that one process trains."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (
    "certify digits size=8 learner=networks learner.network=nin learner.network.width=6 "
    "learner.epochs=1 learner.batch=32 learner.pad=1 parts=20 tests=50 runtime.accelerator=cpu"
)


@pytest.mark.slow
def test_two_workers_train_20_networks_to_the_bits_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    for workers in ("1", "2"):
        words = [*COMMAND.split(), f"workers={workers}", f"out={tmp_path / workers}"]
        # A process of its own: Ray leaves threads and warnings in the one that starts it.
        done = subprocess.run(
            [sys.executable, "-m", "masquerade", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / w / "certify/plain").iterdir()} for w in "12"
    )
    assert len(one) == 20
    assert one == two
    told = [(tmp_path / w / "certify/radii.csv").read_text() for w in "12"]
    assert told[0] == told[1]
