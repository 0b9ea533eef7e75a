"""Pretrain: an encoder without labels, from settings to a run folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from safetensors.torch import save

from masquerade.core.errors import CannotResume
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.core.types import Views
from masquerade.data.augment.augmenter import Augmenter
from masquerade.data.images import ImageSet
from masquerade.data.loader import Loader
from masquerade.engine.clock import Clock
from masquerade.engine.launch import launched
from masquerade.engine.loop import BatchAt, Plan, train
from masquerade.engine.meter import METRICS
from masquerade.engine.runtime import Runtime, environment
from masquerade.jobs.settings import Pretrain, built, length
from masquerade.jobs.verdicts import verdicts
from masquerade.jobs.watch import Watch
from masquerade.networks import encoder_file
from masquerade.networks.adapters import adversarial
from masquerade.pretext.base import Pretext

Say = Callable[[str], None]
MATCHING = ("objective", "step", "combine", "bn_stats", "game")  # settings of matched views


def silent(text: str) -> None:
    """Says nothing."""


def run(config: Pretrain, path: str | Path, say: Say = silent, quiet: bool = False) -> RunDir:
    """Train an encoder, or go on with a run that was cut; returns its folder.

    Args:
        config: The settings. A folder that holds a run goes on only if they agree.
        path: The run's folder; it gets config, metrics, checkpoints, encoder and summary.
        say: Takes lines for the user.
        quiet: No progress line.

    Raises:
        CannotResume: The folder holds something else.
        MissingData: The images are not there.
        BadImages: `data.strict=true` and some cannot be used.
        Diverged: A loss is not finite.
        Interrupted: A signal came; the run is saved.
    """
    folder = RunDir(path)
    if folder.path.is_file():
        raise CannotResume(f"{folder.path} is a file; out= must name a folder")
    with folder.locked():
        if not folder.has("summary.json"):
            sweep(folder)
        if not folder.has("config.json"):
            possible(config)  # before the folder is claimed: a mistake leaves no run behind
        known = folder.start(config.tree(), lambda old: Pretrain.parse(old).tree())
        if known and folder.has("summary.json"):
            say(f"{folder.path} is finished already")
            return folder
        if known:
            say(f"going on with {folder.path}")
        runtime = settled(config.runtime, folder)
        images = config.images()
        for note in images.notes:
            say(note)
        steps = length(config, images).steps
        epochs = f"{config.epochs} epoch{'' if config.epochs == 1 else 's'}"
        say(f"{images.name}: {len(images)} images, {epochs}, {steps} steps")
        say(config.backbone.said(config.size))
        say(runtime.said())
        task = config.task(images)
        for player in task.players():
            say(f"{player}: {config.optimizers.by_player()[player].described()}")
        for note in unused(config, task):
            say(note)
        launched(
            runtime,
            work,
            config.tree(),
            str(folder.path),
            quiet,
            two_players=task.adversary,
        )
    return folder


def unused(config: Pretrain, task: Pretext) -> list[str]:
    """A sentence for each setting that was chosen but has nothing to act on."""
    if task.adversary:
        return []
    plain = Pretrain()
    if config.pretext:
        chosen = {n: getattr(config, n) != getattr(plain, n) for n in MATCHING}
        reason = f"pretext={config.pretext.kind} matches no views"
        return [f"{n} has no effect: {reason}" for n, is_ in chosen.items() if is_]
    chosen = {"step": config.step != plain.step, "game": config.game != plain.game}
    return [
        f"{n} has no effect: no masker of this run is learned" for n, is_ in chosen.items() if is_
    ]


def unheard(before: Pretrain, after: Pretrain) -> list[str]:
    """What `unused` cannot see: a changed optimizer of a masker where none is learned.

    Recipes without a masker have one, too, for those who add a masker.

    Args:
        before: A recipe's settings.
        after: The same after changes.
    """
    if before.optimizers.masker == after.optimizers.masker:
        return []
    if any(True for m in built(after.maskers, after.size, 3) for _ in m.parameters()):
        return []
    return ["optimizers.masker has no effect: no masker of this run is learned"]


def possible(config: Pretrain) -> None:
    """Raises what a run with these settings would raise before its first step."""
    config.runtime.resolved()
    images = config.images()
    length(config, images)
    config.task(images)


def sweep(folder: RunDir) -> None:
    """Remove what a kill in the middle of a write left of files; nobody else writes here now."""
    for part in [*folder.path.glob(".*.part"), *folder.path.glob("*/.*.part")]:
        part.unlink(missing_ok=True)


def settled(wanted: Runtime, folder: RunDir) -> Runtime:
    """The machine settings of a run: those it began with if it goes on, so that bits agree."""
    if folder.has("environment.json"):
        begun = Runtime.parse(folder.read_json("environment.json")["runtime"])
        here = wanted.resolved()
        if begun.accelerator == here.accelerator and begun.precision == here.precision:
            return begun
        raise CannotResume(
            f"{folder.path} was begun on {folder.read_json('environment.json')['device']}; this is "
            f"{here.said()}. It would not end "
            "in the same weights; start a new run"
        )
    runtime = wanted.resolved()
    folder.write_json("environment.json", environment(runtime))
    return runtime


def work(fabric: Fabric, tree: dict[str, Any], path: str, quiet: bool) -> None:
    """The part of a run that every process does."""
    config = Pretrain.parse(tree)
    folder = RunDir(path)
    torch.set_num_threads(Runtime.parse(folder.read_json("environment.json")["runtime"]).threads)
    images = config.images()
    task = config.task(images)
    size = length(config, images)
    plan = Plan(
        steps=size.steps,
        epoch_steps=size.epoch_steps,
        batch=config.batch,
        optimizers=config.optimizers.by_player(),
        log_every=config.log_every,
        checkpoint_seconds=config.checkpoint_seconds,
        quiet=quiet,
    )
    seed = Seed(config.seed)
    watch = Watch(config, images, task, folder)
    rank, world = fabric.global_rank, fabric.world_size
    with Loader(images, config.batch, seed, fabric.device, rank, world) as loader:
        at = batches(loader, config.augmenter(images), seed, rank, world, config.views)
        share = train(fabric, task, at, plan, seed, folder, watch)
    if fabric.is_global_zero:
        finish(config, folder, images, task, plan, share)


def batches(
    loader: Loader,
    augmenter: Augmenter,
    seed: Seed,
    rank: int = 0,
    world: int = 1,
    views: int = 2,
) -> BatchAt:
    """The views of a step, as the loop asks for them."""

    def at(step: int, clock: Clock) -> Views:
        clock.to("data")
        batch = loader.batch_at(step)
        clock.to("augmentation")
        where = seed.fold("step", step, "augment")
        drawn = augmenter.views(batch.images, batch.extent, where, views, rank, world)
        return Views(drawn, batch.labels)

    return at


def finish(
    config: Pretrain,
    folder: RunDir,
    images: ImageSet,
    task: Pretext,
    plan: Plan,
    checkpoint_share: float,
) -> None:
    """Write what a finished run leaves: encoder, heads, digests, summary."""
    encoder = task.encoder()
    folder.write_text("digests.txt", "\n".join(images.digests()) + "\n")
    heads = {
        n: t.contiguous()
        for n, t in task.state_dict().items()
        if ".backbone." not in n or adversarial(n)
    }
    folder.write("heads.safetensors", lambda out: out.write(save(heads)))
    about = {
        "title": config.title,
        "trained_on": images.name,
        "images": len(images),
        "digests": "digests.txt",
        "labels_used": False,
        "projector": "" if config.pretext else "heads.safetensors: objective.projector",
    }
    encoder_file.save(encoder, folder.path, about)
    rows = folder.lines(METRICS)
    last: dict[str, Any] = {}
    for row in rows:
        last |= row
    seen = plan.steps * config.batch
    folder.write_json(
        "summary.json",
        {
            "title": config.title,
            "data": images.name,
            "images": len(images),
            "steps": plan.steps,
            "epochs": config.epochs,
            "cpu_seconds": last["cpu_seconds"],
            "images_per_cpu_second": seen / max(last["cpu_seconds"], 1e-9),
            "checkpoint_share": checkpoint_share,
            "verdict": {
                "healthy": last["health/state"] in ("healthy", "too few"),
                "text": last["health/verdict"],
            },
            "mask_verdicts": [v.text for v in verdicts(rows)],
            "notes": list(images.notes),
            "encoder_line": config.backbone.said(config.size),
        },
    )
