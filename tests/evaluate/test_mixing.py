import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.evaluate.mixing import Mixing, rectangle

LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 1, 1])


def views(b=8, h=20, w=20):
    return torch.randn(b, 3, h, w, generator=Seed(0).fold("views").generator())


def test_nothing_asked_for_changes_nothing():
    images = views()
    found = Mixing().mixed(images, LABELS, 3, Seed(0))
    assert torch.equal(found.images, images)
    assert torch.equal(found.targets, torch.nn.functional.one_hot(LABELS, 3).float())


def test_smoothing_gives_every_class_its_part():
    targets = Mixing(smoothing=0.3).mixed(views(), LABELS, 3, Seed(0)).targets
    assert targets[0].tolist() == pytest.approx([0.8, 0.1, 0.1])
    assert targets.sum(1).tolist() == pytest.approx([1] * 8)


def test_mixup_adds_an_image_and_its_partner_in_the_share_of_their_labels():
    images = views()
    for seed in range(5):
        found = Mixing(mixup=0.8).mixed(images, LABELS, 3, Seed(seed))
        share = float(found.targets[0, 0] - found.targets[7, 0])  # labels 0 and 1: s - (1 - s)
        share = (1 + share) / 2
        want = share * images + (1 - share) * images.flip(0)
        torch.testing.assert_close(found.images, want, rtol=1e-4, atol=1e-5)
    assert torch.equal(images, views())


def test_cutmix_pastes_one_rectangle_and_counts_its_pixels():
    images = views()
    seen = set()
    for seed in range(8):
        found = Mixing(cutmix=1.0).mixed(images, LABELS, 3, Seed(seed))
        own = (found.images == images).all(1)
        theirs = (found.images == images.flip(0)).all(1)
        assert (own | theirs).all()
        pasted = ~own[0]
        rows, columns = (torch.nonzero(pasted.any(d))[:, 0] for d in (1, 0))
        if len(rows):
            assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert all(torch.equal(~o, pasted) for o in own)
        kept = 1 - float(pasted.double().mean())
        assert float(found.targets[0, 0]) == pytest.approx(kept, abs=1e-6)
        seen.add(round(kept, 3))
    assert len(seen) > 4


def test_a_step_takes_mixup_or_cutmix_by_an_even_coin():
    images = views(2, 8, 8)
    both = Mixing(mixup=0.8, cutmix=1.0)
    cut = 0
    for seed in range(200):
        found = both.mixed(images, LABELS[:2], 3, Seed(seed)).images[0]
        cut += bool(((found == images[0]) | (found == images[1])).all())
    assert 75 < cut < 130


@pytest.mark.parametrize("strength", [0.2, 0.8, 1.0, 4.0])
def test_shares_are_drawn_from_beta(strength):
    images, labels = torch.zeros(2, 1, 2, 2), torch.tensor([0, 1])
    drawn = np.array(
        [
            float(Mixing(mixup=strength).mixed(images, labels, 2, Seed(s)).targets[0, 0])
            for s in range(800)
        ]
    )
    assert drawn.mean() == pytest.approx(0.5, abs=0.05)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * strength + 1)), rel=0.2)


def test_rectangles_leave_their_share_where_they_fit():
    assert rectangle((20, 20), 0.75, 0.5, 0.5) == ((slice(5, 15), slice(5, 15)), 0.75)
    (rows, columns), share = rectangle((20, 10), 0.75, 0.0, 0.999)
    assert (rows, columns) == (slice(0, 5), slice(7, 10)) and share == 1 - 15 / 200
    assert rectangle((20, 20), 1.0, 0.3, 0.6)[1] == 1.0


def test_erasing_turns_rectangles_of_its_share_of_images_into_noise():
    images = torch.zeros(400, 1, 30, 30)
    found = Mixing(erase=0.25).mixed(images, torch.zeros(400, dtype=torch.int64), 2, Seed(0)).images
    hit = (found != 0).flatten(1).any(1)
    assert float(hit.double().mean()) == pytest.approx(0.25, abs=0.06)
    area = (found[hit] != 0).flatten(1).double().mean(1)
    assert area.min() > 0.01 and area.max() < 0.37
    values = found[found != 0]
    assert float(values.mean()) == pytest.approx(0, abs=0.05)
    assert float(values.std()) == pytest.approx(1, abs=0.05)
    one = found[hit][0, 0] != 0
    rows, columns = one.any(1).sum(), one.any(0).sum()
    assert int(one.sum()) == int(rows * columns)


def test_two_processes_draw_what_one_draws():
    images, labels = views(), LABELS
    for mixing in (Mixing(erase=0.7), Mixing(mixup=0.5), Mixing(cutmix=0.5, smoothing=0.1)):
        parts = [
            mixing.mixed(images[r * 4 : r * 4 + 4], labels[r * 4 : r * 4 + 4], 3, Seed(1), r, 2)
            for r in range(2)
        ]
        if mixing.erase:
            whole = mixing.mixed(images, labels, 3, Seed(1))
            assert torch.equal(torch.cat([p.images for p in parts]), whole.images)
        for rank, part in enumerate(parts):  # one share for all, partners in the own process
            alone = mixing.replace(erase=0.0)
            own = slice(rank * 4, rank * 4 + 4)
            want = alone.mixed(images[own], labels[own], 3, Seed(1))
            assert torch.equal(part.targets, want.targets)
