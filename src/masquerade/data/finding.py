"""What is wrong with a file, in words."""

import struct
import zlib
from typing import Literal, NamedTuple

from PIL import Image

# What decoders raise on broken files; none of them promises anything narrower.
BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, LookupError, MemoryError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


class Finding(NamedTuple):
    """One thing to know about one file.

    Attributes:
        file: The file's readable name.
        problem: The kind, as in "truncated", "animated", "duplicate".
        reason: The rest of a sentence that begins with the file's name.
        action: What pretraining does with the file: use it, skip it, or ignore it because it
            was never taken for an image.
    """

    file: str
    problem: str
    reason: str
    action: Literal["use", "skip", "ignore"]


class Unusable(Exception):
    """A file that cannot be used; carries the finding that says so."""

    def __init__(self, file: str, problem: str, reason: str) -> None:
        super().__init__(f"{file} {reason}")
        self.finding = Finding(file, problem, reason, "skip")
