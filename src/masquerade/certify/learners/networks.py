"""Networks on raw images, one for each partition, trained by SGD from a seed of their own.

The schedule and the views are those of Deep Partition Aggregation, Levine and Feizi, 2021,
https://arxiv.org/abs/2006.14768.

Note:
    A step has exactly `batch` images: the last step of an epoch, and every step of a partition
    that is smaller than a batch, is filled up with images of the same partition. The official
    code ends an epoch with a smaller batch.
"""

from pydantic import Field, field_validator

from masquerade.certify.learners.base import LearnerConfig
from masquerade.certify.nets import nin
from masquerade.certify.nets.base import NetConfig
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule


class Config(LearnerConfig):
    """Settings of networks on raw images.

    Attributes:
        network: The architecture.
        epochs: Passes over a partition.
        batch: Images of one step.
        lr: The learning rate at first.
        momentum: Of Nesterov's SGD.
        decay: Weight decay, of all weights.
        drops: Where in the training, 0 to 1, the rate is multiplied by `factor`.
        factor: Of the drops.
        pad: By how many pixels a training image is moved at most.
        flip: Whether training images are mirrored in half of the cases.
        boost: Networks for each partition, which differ in their seed; their scores are added up.
        together: Networks that are trained as one computation; benchmarks/networks.py says whether
            that pays on a machine. Another number rounds differently.
    """

    network: NetConfig = nin.Config()
    epochs: int = Field(200, ge=1)
    batch: int = Field(128, ge=1)
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    decay: float = Field(5e-4, ge=0)
    drops: tuple[float, ...] = (0.3, 0.6, 0.8)
    factor: float = Field(0.2, gt=0)
    pad: int = Field(4, ge=0)
    flip: bool = False
    boost: int = Field(1, ge=1)
    together: int = Field(1, ge=1)

    @field_validator("drops")
    @classmethod
    def _inside(cls, drops: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < d < 1 for d in drops):
            raise ValueError(
                f"drops are shares of the training, between 0 and 1, got {list(drops)}"
            )
        return drops

    def epoch_steps(self, images: int) -> int:
        """Steps of one pass over so many images."""
        return -(-images // self.batch)

    def steps(self, images: int) -> int:
        """Steps of the training on so many images."""
        return self.epochs * self.epoch_steps(images)

    def optimizer(self, images: int) -> sgd.Config:
        """The optimizer of a network that sees so many images; its schedule counts steps."""
        epoch = self.epoch_steps(images)
        drops = tuple(round(share * self.epochs) * epoch for share in self.drops)
        schedule = Schedule(shape="constant", warmup=0)
        if drops:
            schedule = Schedule(shape="drops", warmup=0, drops=drops, factor=self.factor)
        return sgd.Config(
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
            decay=self.decay,
            decay_all=True,
            schedule=schedule,
        )
