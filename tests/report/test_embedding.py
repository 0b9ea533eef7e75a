import numpy as np

from masquerade.report import embedding
from masquerade.report.read import Embedding


def test_thumbnails_of_a_map_do_not_overlap_and_every_image_has_a_place() -> None:
    rng = np.random.default_rng(0)
    n = 300
    shown = Embedding(
        rng.normal(size=(n, 2)),
        np.full(n, -1),
        rng.integers(0, 255, (n, 20, 20, 3), dtype=np.uint8),
        np.zeros(0, np.int64),
        np.zeros((0, 5), np.int64),
        np.zeros((0, 5)),
        (),
        {},
    )
    laid = embedding.laid_out(shown)
    assert sorted(p.row for p in laid.points) == list(range(n))
    large = [p for p in laid.points if p.picture]
    assert len(large) > 50
    for k, a in enumerate(large):
        assert embedding.EDGE / 2 <= a.x <= embedding.MAP[0] - embedding.EDGE / 2
        for b in large[:k]:
            assert max(abs(a.x - b.x), abs(a.y - b.y)) >= embedding.EDGE
    assert len({p.corner for p in laid.points}) == n
