"""From a pre-trained backbone to one that is fine-tuned: pooling, stochastic depth, fresh parts."""

from typing import Any, Literal, NamedTuple

from timm.models.vision_transformer import VisionTransformer

from masquerade.networks.backbone import Backbone

Pool = Literal["patches", "encoder"]


class Adapt(NamedTuple):
    """How a pre-trained backbone becomes one that is fine-tuned.

    Attributes:
        pool: Where its features come from.
        drop_path: Highest chance that a block is skipped in training.
        fresh: Parts that start anew.
    """

    pool: Pool
    drop_path: float
    fresh: tuple[str, ...]

    def backbone(self, given: Backbone) -> Backbone:
        """A new backbone with the weights of a given one, on the CPU.

        With `pool="patches"` a vision transformer with a class token gives the mean of its patch
        tokens, then a new norm; its last norm is left behind. Its positions, fixed or not in
        pre-training, are trained.

        Raises:
            ValueError: The model has no stochastic depth, or no such parts.
        """
        changes: dict[str, Any] = {}
        body = given.body
        pooled = self.pool == "patches" and isinstance(body, VisionTransformer)
        if pooled:
            changes |= {"global_pool": "avg", "fc_norm": True}
        if self.drop_path:
            changes["drop_path_rate"] = self.drop_path
        options = {**given.config.options, **changes}
        config = given.config.replace(stem=given.stem, weights=None, options=options)
        mean, std = given.mean.flatten().tolist(), given.std.flatten().tolist()
        try:
            found = config.build(given.size, given.channels, mean, std)
        except ValueError as error:
            if not self.drop_path:
                raise
            raise ValueError(f"{error}. If it knows no drop_path_rate, set drop_path=0") from None
        state = {n: t.detach().cpu() for n, t in body.state_dict().items()}
        for part in self.fresh:
            if not any(under(name, part) for name in state):
                parts = ", ".join(name for name, _ in body.named_children())
                raise ValueError(f"{given.config.name} has no part {part!r}; it has: {parts}")
        kept = {n: t for n, t in state.items() if not any(under(n, p) for p in self.fresh)}
        missing, left = found.body.load_state_dict(kept, strict=False)
        new = (*self.fresh, "fc_norm") if pooled else self.fresh
        strange = [n for n in missing if not any(under(n, part) for part in new)]
        strange += [n for n in left if not (pooled and under(n, "norm"))]
        if strange:
            raise ValueError(
                f"the weights of {given.config.name} do not fit the network that is fine-tuned: "
                f"{', '.join(strange[:5])}. Set pool=encoder"
            )
        return found


def under(name: str, part: str) -> bool:
    """Whether a tensor belongs to a part."""
    return name == part or name.startswith(f"{part}.")
