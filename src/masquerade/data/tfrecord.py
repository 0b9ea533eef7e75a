"""Records of TensorFlow without TensorFlow: framed protocol buffers, as one file has them.

A record is its length (8 bytes), a checksum (4), the message and another checksum (4). The message
is a tf.train.Example: a map of names to lists of bytes, floats or whole numbers.
https://www.tensorflow.org/tutorials/load_data/tfrecord. Checksums are not compared: gzip has its
own.
"""

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

Fields = list[tuple[int, memoryview]]  # number of a field, its bytes


def records(path: Path) -> Iterator[memoryview]:
    """The messages of a file, packed by gzip or not, one by one.

    Raises:
        ValueError: It is cut off, or no such file.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            yield from framed(path, file)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}. Get it again") from None


def framed(path: Path, file: BufferedIOBase) -> Iterator[memoryview]:
    """The messages of an open file."""
    while head := file.read(12):
        length = int.from_bytes(head[:8], "little")
        message = file.read(length) if len(head) == 12 and length < 2**31 else b""
        if len(message) < length or len(file.read(4)) < 4:
            raise ValueError(f"{path} is cut off or not a file of records. Get it again")
        yield memoryview(message)


def features(message: memoryview) -> dict[str, memoryview]:
    """The list of each feature of an Example, still packed.

    Raises:
        ValueError: It is none.
    """
    found: dict[str, memoryview] = {}
    for _, packed in (f for _, example in fields(message) for f in fields(example)):
        entry = dict(fields(packed))
        if 1 in entry and 2 in entry:
            kind = fields(entry[2])
            found[bytes(entry[1]).decode()] = kind[0][1] if kind else memoryview(b"")
    return found


def fields(message: memoryview) -> Fields:
    """The fields of a message that are bytes or messages themselves; numbers are passed over.

    Raises:
        ValueError: It is no protocol buffer.
    """
    found: Fields = []
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == 2:
            length, at = varint(message, at)
            found.append((tag >> 3, message[at : at + length]))
            at += length
        elif kind == 0:
            _, at = varint(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"no protocol buffer: wire type {kind}")
    if at > len(message):
        raise ValueError("no protocol buffer: it ends early")
    return found


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("no protocol buffer: a number does not end")
