"""Fine-tuning by SGD: all weights at one rate, batch norms as they were, as ADIOS judges encoders.

Shi et al., "Adversarial Masking for Self-Supervised Learning", 2022,
https://arxiv.org/abs/2201.13100: its script's defaults. `sequential` has those of the paper of
sequential adversarial masking; papers/adversarial_masking.md, section 10, has both.

Note:
    On CIFAR ADIOS's script replaces the first convolution of the encoder by a fresh one:
    `fresh=["conv1"]`.
"""

from pydantic import Field

from masquerade.engine.optimizers import lars, sgd
from masquerade.engine.optimizers.base import OptimizerConfig
from masquerade.engine.schedule import Schedule
from masquerade.evaluate import finetune
from masquerade.evaluate.adapting import Pool
from masquerade.evaluate.mixing import Mixing

WARM = Schedule(warmup=10, start=0.0)


class Config(finetune.Config):
    """Settings of fine-tuning by SGD; what each means, `finetune` says."""

    epochs: int = Field(200, ge=1)
    batch: int = Field(128, ge=1)
    optimizer: OptimizerConfig = lars.Config(
        lr=0.5, decay=5e-4, eta=1e-3, clip=False, schedule=WARM
    )
    layer_decay: float = Field(1.0, gt=0, le=1)
    drop_path: float = Field(0.0, ge=0, lt=1)
    pool: Pool = "encoder"
    kept_statistics: bool = True
    mixing: Mixing = Mixing()


def sequential() -> Config:
    """Learning rate 0.5, batches of 256, no decay; what it does not say is as in ADIOS's script."""
    return Config(batch=256, optimizer=sgd.Config(lr=0.5, schedule=WARM))
