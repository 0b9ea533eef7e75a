"""What the maskers made of a few images, at some moments of a training: `masks/step_*.npz`.

The arrays of these files are told in `jobs.snapshot`, which writes them.
"""

from typing import NamedTuple

import numpy as np

from masquerade.core.rundir import RunDir
from masquerade.report.files import Arrays, Bytes, Floats, Ints, arrays


class Copy(NamedTuple):
    """A masked copy of a few images.

    Attributes:
        images: [n, H, W, C], as the encoder sees them.
        hidden: [n, H, W], 255 = hidden.
        partner: [n], the row of the image that fills the hidden part, -1 = none does.
        share: [n], the own image's part of the target; the rest is the partner's.
        weight: [n], of this copy among those of its masker.
        masker: The place of its masker in the settings.
        learned: Whether that masker learns.
    """

    images: Bytes
    hidden: Bytes
    partner: Ints
    share: Floats
    weight: Floats
    masker: int
    learned: bool

    @property
    def fills(self) -> bool:
        """Whether the hidden part is another image's."""
        return bool((self.partner >= 0).any())


class Snapshot(NamedTuple):
    """What the maskers hid on a few images at one moment of the training.

    Attributes:
        step: Steps done.
        images: [n, H, W, C], grey or colour, as large as in training.
        hidden: [n, N, H, W], 255 = hidden. The masks of what learns; in older runs of chance, too.
        copies: What the encoder sees of them, where chance hides or partners fill; else empty.
    """

    step: int
    images: Bytes
    hidden: Bytes
    copies: tuple[Copy, ...] = ()

    @property
    def masks(self) -> Bytes:
        """Masks [n, N, H, W] to be looked at: those that are learned, or those of the copies."""
        if self.hidden.shape[1] or not self.copies:
            return self.hidden
        return np.stack([copy.hidden for copy in self.copies], 1)


def snapshots(run: RunDir, troubles: list[str]) -> list[Snapshot]:
    """The mask pictures, early to late."""
    found = []
    for path in sorted((run.path / "masks").glob("step_*.npz")):
        stored = arrays(run, f"masks/{path.name}", troubles)
        images, hidden = stored.get("images"), stored.get("hidden")
        number = path.stem.removeprefix("step_")
        if images is None or hidden is None or not len(images) or not number.isdigit():
            if stored:
                troubles.append(f"masks/{path.name} holds no images with masks and is left out.")
            continue
        if images.shape[:3] != (len(hidden), *hidden.shape[2:]) or hidden.dtype != np.uint8:
            troubles.append(f"masks/{path.name} has masks of another size than its images.")
            continue
        try:
            made = copies(stored, images)
        except (KeyError, ValueError):
            troubles.append(f"masks/{path.name}: its masked copies do not fit and are left out.")
            made = ()
        if hidden.shape[1] or made:
            found.append(Snapshot(int(number), images, hidden, made))
    return sorted(found, key=lambda s: s.step)


def copies(stored: Arrays, images: Bytes) -> tuple[Copy, ...]:
    """The masked copies of a snapshot, as `jobs.snapshot` wrote them; none in older files.

    Raises:
        KeyError: An array is missing.
        ValueError: The arrays do not fit together.
    """
    if "copy_images" not in stored:
        return ()
    seen, hidden, partner = (stored[f"copy_{k}"] for k in ("images", "hidden", "partner"))
    each = [stored[f"copy_{key}"] for key in ("share", "weight", "masker", "learned")]
    n, height, width = images.shape[:3]
    count = seen.shape[1]
    fits = seen.shape == (n, count, *images.shape[1:]) and hidden.shape == (n, count, height, width)
    fits = fits and seen.dtype == hidden.dtype == np.uint8
    fits = fits and [a.shape for a in (partner, *each)] == [(n, count)] * 3 + [(count,)] * 2
    share, weight, masker, learned = each
    if not fits or not -1 <= partner.min() <= partner.max() < n or not np.isfinite(share).all():
        raise ValueError("the arrays of masked copies do not fit together")
    return tuple(
        Copy(
            seen[:, k],
            hidden[:, k],
            partner[:, k].astype(np.int64),
            share[:, k].astype(np.float64),
            weight[:, k].astype(np.float64),
            int(masker[k]),
            bool(learned[k]),
        )
        for k in range(count)
    )
