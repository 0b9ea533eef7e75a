"""How many processor cores this process may use, which is seldom what the machine has."""

import os
from pathlib import Path


def cores() -> int:
    """Cores by affinity and by the quota of the cgroup, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
    except (OSError, ValueError):
        return int(allowed)
    return int(allowed) if quota == "max" else max(1, min(allowed, int(quota) // int(period)))
