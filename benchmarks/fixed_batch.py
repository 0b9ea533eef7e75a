"""SimCLR's model by itself on one fixed batch: the ceiling for a training program.

Backbone, projector, NT-Xent and optimizer of a run's settings, in its precision and on views in
the memory layout that its augmentation makes; no data, no augmentation, no probe, no metrics. A
plain loop of PyTorch on purpose. `benchmarks/pretrain.py` runs it beside the real thing.
"""

import argparse
import json
from pathlib import Path

import torch

from masquerade.core.seed import Seed
from masquerade.jobs.settings import Pretrain


def main() -> None:
    ask = argparse.ArgumentParser(description="SimCLR's model by itself on one fixed batch")
    ask.add_argument("config", type=Path, help="settings of the run, as JSON")
    ask.add_argument("out", type=Path, help="gets a line after a warm-up and after each round")
    ask.add_argument("--steps", type=int, required=True, help="of one round")
    ask.add_argument("--rounds", type=int, required=True)
    told = ask.parse_args()

    config = Pretrain.parse(json.loads(told.config.read_text()))
    runtime = config.runtime.resolved()
    torch.set_num_threads(runtime.threads)
    torch.manual_seed(0)
    device = runtime.device()
    encoder = config.backbone.build(config.size, 3, (0.5,) * 3, (0.25,) * 3)
    objective = config.objective.build(encoder).to(device)
    optimizer = config.optimizers.encoder.over(objective.groups())
    shape = (config.batch, 3, config.size, config.size)
    views = [
        torch.randn(shape, generator=Seed(0).fold("view", v).generator())
        .to(device)
        .contiguous(memory_format=torch.channels_last)
        for v in (0, 1)
    ]
    own = torch.arange(config.batch, device=device)[:, None]
    whole = torch.ones(config.batch, 1, device=device)

    def step() -> None:
        optimizer.zero_grad()
        with runtime.autocast():
            a, b = (objective.query(objective.query_features(view)) for view in views)
            loss = objective.compare(a, b, own, whole).mean()
        loss.backward()
        optimizer.step()

    with told.out.open("w") as lines:
        for number in range(told.rounds + 1):
            for _ in range(told.steps if number else 1):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            lines.write(json.dumps({"round": number}) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
