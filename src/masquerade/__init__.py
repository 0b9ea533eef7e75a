"""masquerade: image encoders trained without labels, by hiding parts of images.

import masquerade as mq
run = mq.pretrain("sequential", data="photos", size=96, out="runs/photos")
run.encoder, run.metrics, run.report
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Run", "demo", "import_encoder", "load_masker", "pretrain"]

if TYPE_CHECKING:
    from masquerade.api import Run, import_encoder, load_masker, pretrain
    from masquerade.showcase import demo


def __getattr__(name: str) -> Any:
    """The functions of `masquerade.api`, imported once they are used: torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module 'masquerade' has no attribute {name!r}")
    from masquerade import api, showcase

    return showcase.demo if name == "demo" else getattr(api, name)
