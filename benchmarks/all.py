"""Every benchmark in turn, each in a process of its own; they write docs/results."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORDER = ("augment", "step_cost", "mutations", "pretrain", "kills", "evolve")


def main() -> int:
    """How many benchmarks failed to run to their end."""
    failed = []
    for name in ORDER:
        print(f"== {name}", file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"did not run to their end: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
