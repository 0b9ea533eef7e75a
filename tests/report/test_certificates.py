from pathlib import Path

import numpy as np
import pytest

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.jobs import certify
from masquerade.jobs.certify_settings import Certify
from masquerade.report.certificates import write


@pytest.fixture
def done(tmp_path: Path) -> RunDir:
    """A certificate of features from a file."""
    draw = np.random.Generator(np.random.PCG64(0))
    label = np.arange(120) % 3
    features = (np.eye(3, 6)[label] * 3 + draw.normal(size=(120, 6))).astype(np.float32)
    place = tmp_path / "f.npz"
    np.savez(
        place,
        features=features[:80],
        labels=label[:80],
        test_features=features[80:],
        test_labels=label[80:],
        classes=np.array(["cat", "dog & co", "owl"]),
    )
    out = RunDir(tmp_path / "out")
    config = Certify.of(None, {"parts": "7", "asserted": "label_free"})
    certify.run(config, place, out, lambda text: None)
    return out


def test_the_page_says_the_sentence_its_grounds_and_what_an_attack_would_take(done: RunDir):
    text = write(done).read_text()
    assert "at most R changed labels; images and the feature extractor are assumed intact." in text
    assert '<b class="status">asserted</b> no label influenced these features' in text
    assert "dog &amp; co" in text and "dog & co" not in text
    assert text.count('class="voted"') >= 3
    assert text.count("<polyline") == 4
    assert "poisons must reach at least" in text
    assert "http" not in text.replace("http://www.w3.org", "")  # it needs no network


def test_numbers_of_heads_that_have_changed_since_are_called_old(done: RunDir):
    content = done.read_json("certify/certify.json")
    done.write_json("certify/certify.json", {**content, "stale": "images came or went"})
    assert "Images came or went." in write(done).read_text()


def test_without_a_certificate_there_is_no_page(tmp_path: Path):
    with pytest.raises(MissingData, match=r"certify/certify\.json"):
        write(RunDir(tmp_path))
