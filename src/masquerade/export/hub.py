"""A folder to put on the Hugging Face hub: timm's `hf-hub:` loads it from there.

The files of `export timm`, the metadata that the hub reads out of the model card, and
`.gitattributes`, so that git keeps weights as large files. Nothing is uploaded.
"""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from masquerade.core.rundir import RunDir
from masquerade.export import modelcard, weights
from masquerade.networks import encoder_file

LARGE = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
NAMES = {"top1": "top-1", "top5": "top-5"}


def export(run: RunDir, out: Path, licence: str = "") -> Path:
    """Write the encoder of a run as a folder of the hub.

    Args:
        run: A finished run.
        out: The folder to write; files of an earlier export in it are replaced.
        licence: Of the weights, as the hub names it (`apache-2.0`); empty says that none is set.

    Raises:
        MissingData: The run has no encoder yet.
        ValueError: timm has no model that gives these features, or `out` is a file.
    """
    weights.export(run, out, licence)
    how = weights.recipe(encoder_file.load(run.path))
    target = RunDir(out)
    text = modelcard.text(run, weights.use(how), licence, metadata(run, licence))
    target.write_text("README.md", text)
    target.write_text(".gitattributes", LARGE)
    return out


def metadata(run: RunDir, licence: str) -> str:
    """What the hub reads: library, task, licence, and the numbers of the trained encoder."""
    card = encoder_file.card(run.path)
    title = str(card.about.get("title") or card.architecture)
    found = [
        EvalResult(
            task_type="image-classification",
            task_name=f"{one.protocol} on frozen features",
            dataset_type=one.data.partition(" ")[0],
            dataset_name=f"{one.data}, {one.metric.partition('/')[0]}",
            metric_type="accuracy",
            metric_name=f"{one.protocol} {NAMES[one.metric.rpartition('/')[2]]}",
            metric_value=one.trained,
        )
        for one in modelcard.measured(run)
        if one.metric.rpartition("/")[2] in NAMES
    ]
    data = ModelCardData(
        library_name="timm",
        pipeline_tag="image-feature-extraction",
        license=licence or None,
        tags=["timm", "image-feature-extraction", "self-supervised", "masquerade"],
        model_name=title if found else None,
        eval_results=found or None,
    )
    return f"{data.to_yaml()}\n"
