"""Batches by step number, the next ones read ahead in one thread."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data import order
from masquerade.data.images import ImageSet


class Batch(NamedTuple):
    """One process's part of a step.

    Attributes:
        images: uint8, or uint16 where 16 bits were asked for.
        extent: Height and width really covered; on the CPU, where augmentation draws by it.
        indices: Places in the image set.
        labels: Class indices, -1 = none; None where no image has one.
    """

    images: UInt[Tensor, "B C H W"]
    extent: Int[Tensor, "B 2"]
    indices: Int[Tensor, " B"]
    labels: Int[Tensor, " B"] | None


class Loader:
    """Batches of an image set, by step.

    A context manager; `close` ends its thread.
    """

    def __init__(
        self,
        images: ImageSet,
        batch: int,
        seed: Seed,
        device: torch.device | str,
        rank: int = 0,
        world: int = 1,
        ahead: int = 2,
    ) -> None:
        """Opens a loader; nothing is read yet.

        Args:
            images: The set to draw from.
            batch: Images per step over all processes; `world` must divide it.
            seed: The run's seed.
            device: Where batches end up, as uint8.
            rank: This process, 0 to `world` - 1; it gets the rank-th equal part of each batch.
            world: Number of processes.
            ahead: Batches read before they are asked for.
        """
        if batch % world:
            raise ValueError(f"batch={batch} cannot be shared equally by {world} processes")
        self.images = images
        self.batch = batch
        self.seed = seed
        self.device = torch.device(device)
        self.ahead = ahead
        self.steps_per_epoch = order.steps_per_epoch(len(images), batch)
        share = batch // world
        self._part = slice(rank * share, (rank + 1) * share)
        self._labels = images.labels
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="masquerade-loader")
        self._pending: dict[int, Future[Batch]] = {}

    def batch_at(self, step: int) -> Batch:
        """This process's part of a step; the same whenever and in whatever order it is asked."""
        future = self._pending.pop(step, None) or self._thread.submit(self._read, step)
        wanted = range(step + 1, step + 1 + self.ahead)
        for late in [s for s in self._pending if s not in wanted]:
            self._pending.pop(late).cancel()
        for s in wanted:
            if s not in self._pending:
                self._pending[s] = self._thread.submit(self._read, s)
        read = future.result()
        if self.device.type == "cpu":
            return read
        images = read.images.to(self.device, non_blocking=True)
        labels = None if read.labels is None else read.labels.to(self.device, non_blocking=True)
        return read._replace(images=images, labels=labels)

    def close(self) -> None:
        """Ends the reading thread."""
        self._thread.shutdown(cancel_futures=True)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, step: int) -> Batch:
        drawn = order.indices(
            step,
            length=len(self.images),
            batch=self.batch,
            seed=self.seed,
            pieces=self.images.pieces,
        )
        own = drawn[self._part]
        index = torch.from_numpy(own.copy())
        labels = None if self._labels is None else self._labels[index]
        batch = Batch(self.images.read(own), self.images.extents(own), index, labels)
        if self.device.type != "cuda":
            return batch
        labels = None if labels is None else labels.pin_memory()
        return batch._replace(images=batch.images.pin_memory(), labels=labels)
