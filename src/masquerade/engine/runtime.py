"""Where and how a task runs: device, precision, threads, processes, through Fabric."""

import logging
import platform
import subprocess
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from pydantic import Field

from masquerade.core.config import Settings
from masquerade.core.cores import cores

FABRIC: dict[str, Any] = {"float32": "32-true", "float64": "64-true"}


class Runtime(Settings):
    """Settings of the machine.

    Attributes:
        accelerator: `auto` takes a GPU where there is one.
        devices: Processes, each with a device of its own (on a CPU: a share of the cores).
        precision: `bf16` runs convolutions and products in bfloat16 while weights, losses and
            penalties stay in float32; `auto` chooses it where the hardware has it. `float64` is
            for comparisons that rounding must not blur; it takes several times as long.
        threads: Compute threads of one process, 0 = the cores this process may use, shared
            among the processes. Stored with a run: other counts may round differently.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1)
    precision: Literal["auto", "float32", "bf16", "float64"] = "auto"
    threads: int = Field(0, ge=0)

    def resolved(self) -> "Runtime":
        """The same with every `auto` decided on this machine."""
        device = self.device()
        if self.accelerator == "cuda" and device.type != "cuda":
            raise ValueError("runtime.accelerator=cuda, but PyTorch sees no CUDA GPU here")
        found = torch.cuda.device_count()
        if device.type == "cuda" and self.devices > found:
            raise ValueError(f"devices={self.devices}, but PyTorch sees {found} CUDA GPUs here")
        return self.replace(
            accelerator=device.type,
            precision=("bf16" if fast_bf16(device) else "float32")
            if self.precision == "auto"
            else self.precision,
            threads=self.threads or max(1, cores() // self.devices),
        )

    def device(self) -> torch.device:
        """The kind of device that would be used."""
        gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if gpu else "cpu")

    def said(self) -> str:
        """One line for the user; call it on resolved settings."""
        name = torch.cuda.get_device_name() if self.accelerator == "cuda" else processor()
        places = f"{self.devices} x " if self.devices > 1 else ""
        count = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        return f"{places}{name}, {count}, {self.precision}"

    def fabric(self, two_players: bool = False) -> Fabric:
        """The launcher and wrapper for these (resolved) settings."""
        torch.set_num_threads(self.threads)
        hush()
        strategy: Any = "auto"
        if self.devices > 1:
            # Batch norm, queues and multipliers are computed alike in all processes.
            strategy = Processes(
                start_method="spawn", find_unused_parameters=two_players, broadcast_buffers=False
            )
        return Fabric(
            accelerator=self.accelerator,
            devices=self.devices,
            strategy=strategy,
            precision=FABRIC.get(self.precision),
            plugins=Mixed(self.accelerator) if self.precision == "bf16" else None,
        )

    def autocast(self) -> torch.autocast:
        """The precision context for passes outside the training loop."""
        return torch.autocast(
            self.device().type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        )


class Mixed(MixedPrecision):
    """bfloat16 where autocast takes it; what a task is given stays as it is.

    Fabric's own lowers every tensor of a batch: pixels that are a target, and the corners of boxes,
    which bfloat16 knows to 2 pixels from 256 on.
    """

    def __init__(self, accelerator: str) -> None:
        super().__init__("bf16-mixed", accelerator)

    def convert_input(self, data: Any) -> Any:
        """The same."""
        return data


class Processes(DDPStrategy):
    """Processes that start without telling about it."""

    def setup_environment(self) -> None:
        """Join the others; the first thing that a process does."""
        hush()
        super().setup_environment()


def hush() -> None:
    """Silence what others tell about a start and its speed; `Runtime.said` says it."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed natively there, and so faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return native_bf16()


def native_bf16() -> bool:
    """Whether the CPU has bfloat16 instructions of its own (AVX-512 BF16 or AMX, or ARM's)."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return False
    flags = next(
        (row for row in info.read_text().splitlines() if row.startswith(("flags", "Features"))), ""
    )
    return any(flag in flags.split() for flag in ("amx_bf16", "avx512_bf16", "bf16"))


def processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for row in info.read_text().splitlines():
            if row.startswith("model name"):
                return row.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment(runtime: Runtime) -> dict[str, Any]:
    """What a result depends on besides its settings: versions, machine, threads, commit."""
    import numpy
    import timm
    import torchvision

    return {
        "masquerade": version("masquerade"),
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "device": runtime.said(),
        "cores": cores(),
        "runtime": runtime.tree(),
    }


def commit() -> str | None:
    """The commit of the source tree this runs from, None when it is installed."""
    here = Path(__file__).resolve()
    if not git(here, "ls-files", "--error-unmatch", here.name):  # somebody else's repository
        return None
    return git(here, "describe", "--always", "--dirty", "--abbrev=12") or None


def git(place: Path, *words: str) -> str:
    """What git answers in a file's folder; nothing where it fails or is not there."""
    try:
        out = subprocess.run(
            ["git", "-C", str(place.parent), *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return out.stdout.strip() if out.returncode == 0 else ""
