"""lightly's documented SimCLR example on a folder of images; runs in lightly's own environment.

After https://docs.lightly.ai/examples/simclr.html (the PyTorch version), with its folder data set,
transform, loss, optimizer, batch and number of workers. What differs: ResNet-18 gets the small
stem (3 x 3 convolution, no max-pool) that images of 32 pixels want, as ours has; compute threads
are set; `--bf16` adds autocast around the forward pass. `benchmarks/pretrain.py` runs it.
"""

import argparse
import json
from pathlib import Path

import torch
import torchvision
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from torch import Tensor, nn


class SimCLR(nn.Module):
    """A backbone and lightly's projection head."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(512, 512, 128)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings, [B, 128], of images [B, 3, H, W]."""
        embedding: Tensor = self.projection_head(self.backbone(x).flatten(start_dim=1))
        return embedding


def main() -> None:
    ask = argparse.ArgumentParser(description="lightly's documented SimCLR example")
    ask.add_argument("folder", type=Path, help="of images")
    ask.add_argument("out", type=Path, help="gets a line after a warm-up and after each epoch")
    ask.add_argument("--epochs", type=int, required=True)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    ask.add_argument("--bf16", action="store_true")
    told = ask.parse_args()

    torch.set_num_threads(told.threads)
    resnet = torchvision.models.resnet18()
    resnet.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    resnet.maxpool = nn.Identity()
    model = SimCLR(nn.Sequential(*list(resnet.children())[:-1])).to(told.device)

    transform = SimCLRTransform(input_size=32, gaussian_blur=0.0)
    dataset = LightlyDataset(str(told.folder), transform=transform)
    dataloader: torch.utils.data.DataLoader[tuple[list[Tensor], Tensor, list[str]]]
    dataloader = torch.utils.data.DataLoader(
        dataset, batch_size=256, shuffle=True, drop_last=True, num_workers=8
    )
    criterion = NTXentLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06)

    def step(x0: Tensor, x1: Tensor) -> None:
        with torch.autocast(told.device, torch.bfloat16, enabled=told.bf16):
            z0 = model(x0.to(told.device))
            z1 = model(x1.to(told.device))
            loss = criterion(z0, z1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    with told.out.open("w") as lines:
        step(torch.randn(32, 3, 32, 32), torch.randn(32, 3, 32, 32))
        for epoch in range(told.epochs + 1):
            if epoch:
                for (x0, x1), _, _ in dataloader:
                    step(x0, x1)
            if told.device == "cuda":
                torch.cuda.synchronize()
            lines.write(json.dumps({"round": epoch}) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
