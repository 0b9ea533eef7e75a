from itertools import product

import pytest

from masquerade.certify.provenance import (
    PIXELS,
    UNKNOWN,
    UNTRAINED,
    Manifest,
    claim,
    manifest,
)
from masquerade.core.rundir import RunDir

OWN = ("aa", "bb", "cc")
CARD = {
    "architecture": "resnet18",
    "stem": "small",
    "options": {},
    "size": 32,
    "channels": 1,
    "mean": [0.5],
    "std": [0.5],
    "dim": 512,
}


def encoder(folder, digests=("xx", "yy"), labels=False, origin=""):
    """The card of an encoder and the list of its training images."""
    run = RunDir(folder)
    about = {"labels_used": labels, "digests": "digests.txt", "images": 2}
    run.write_json("encoder.json", {**CARD, "origin": origin, "about": about})
    if digests is not None:
        run.write_text("digests.txt", "\n".join(digests) + "\n")
    return manifest(folder)


def status(found, words):
    return next(a.status for a in found.assumptions if words in a.text)


def test_an_encoder_trained_on_the_same_images_never_gets_the_strong_sentence_by_default(tmp_path):
    same = encoder(tmp_path, digests=("bb", "zz"))
    found = claim(same, OWN)
    assert found.scope == "labels"
    assert "was trained on 1 of the 3 labelled images" in found.why
    assert found.sentence(4).endswith(
        "by at most 4 changed labels; images and the feature extractor are assumed intact."
    )
    assert "inserted" not in found.sentence(4)
    assert claim(same, OWN, ("label_free",)).scope == "labels"
    # Only whoever says that the supplier could not reach those images gets more.
    assert claim(same, OWN, ("unreachable",)).scope == "general"


def test_no_combination_without_an_assertion_is_general_for_a_learnt_extractor():
    for digests, labels, dealt in product(
        (None, frozenset(OWN), frozenset({"xx"})), (None, True, False), (True, False)
    ):
        source = Manifest("the encoder", True, digests, labels)
        for asserted in ((), ("label_free",)):
            found = claim(source, OWN, asserted, dealt=dealt)
            assert found.scope != "general"
            if labels or (labels is None and not asserted):
                assert found.scope == "nothing"
                assert found.sentence(9).startswith("Nothing is certified: ")


def test_labels_in_the_encoder_leave_nothing_whatever_is_asserted(tmp_path):
    found = claim(encoder(tmp_path, labels=True), OWN, ("label_free", "unreachable"))
    assert found.scope == "nothing"
    assert found.sentence(3) == "Nothing is certified: labels influenced the encoder."
    assert "nothing is certified" in found.unit


def test_other_images_are_verified_and_the_rest_is_asserted(tmp_path):
    other = encoder(tmp_path)
    careful = claim(other, OWN)
    assert careful.scope == "labels"
    assert "asserted=unreachable" in careful.why
    found = claim(other, OWN, ("unreachable",))
    assert (found.scope, found.why) == ("general", "")
    assert status(found, "byte for byte") == "verified"
    assert status(found, "no label influenced") == "verified"
    assert status(found, "could not reach") == "asserted"
    assert status(careful, "could not reach") == "open"
    text = found.sentence(1)
    assert "at most 1 inserted or removed image (a changed image counts twice" in text
    assert text.endswith("provided the feature extractor is unaffected.")


def test_pixels_and_fresh_weights_need_no_assertion():
    for source in (PIXELS, UNTRAINED):
        found = claim(source, OWN)
        assert found.scope == "general"
        assert claim(source, OWN, dealt=True).scope == "labels"


def test_features_of_unknown_origin_certify_nothing_until_somebody_answers_for_them():
    found = claim(UNKNOWN, OWN)
    assert found.scope == "nothing"
    assert "asserted=label_free" in found.sentence(2)
    assert claim(UNKNOWN, OWN, ("label_free",)).scope == "labels"
    assert claim(UNKNOWN, OWN, ("label_free", "unreachable")).scope == "general"


def test_weights_from_elsewhere_are_of_unknown_origin(tmp_path):
    source = encoder(tmp_path, origin="resnet18 with its public weights")
    assert source.digests is None
    assert source.labels is None
    assert "public weights" in claim(source, OWN).why


@pytest.mark.parametrize("file", ["../digests.txt", "nothing.txt", 7])
def test_a_card_cannot_point_elsewhere(tmp_path, file):
    (tmp_path / "digests.txt").write_text("aa\n")
    inner = RunDir(tmp_path / "run")
    inner.write_json(
        "encoder.json", {**CARD, "about": {"labels_used": False, "digests": file, "images": 1}}
    )
    assert manifest(inner.path).digests is None
    assert claim(manifest(inner.path), OWN).scope == "labels"


def test_a_list_that_was_cut_is_not_known(tmp_path):
    assert encoder(tmp_path, digests=("xx",)).digests is None
    assert encoder(tmp_path, digests=None).digests is None


def test_heads_that_round_are_claimed_for_this_machine():
    assert status(claim(PIXELS, OWN), "on this machine and library") == "verified"
    assert status(claim(PIXELS, OWN, portable=True), "on every machine") == "verified"
