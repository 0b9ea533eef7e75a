"""The `masquerade` command. Heavy modules are imported once a verb runs, so that help is quick."""

import io
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec

import typer
from typer.core import TyperGroup

from masquerade import __version__

P = ParamSpec("P")


class Exports(TyperGroup):
    """The sub-verbs of `export`; one that is not there is answered with those that are."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"nothing can be exported as {args[0]!r}. There are: {known}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="masquerade",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
export_app = typer.Typer(cls=Exports, no_args_is_help=True)
app.add_typer(export_app, name="export")

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME...] [key=value...]", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def told(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb, with the errors that people can do something about told in words.

    MASQUERADE_TRACEBACK=1 shows where a message comes from.
    """

    @wraps(verb)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        from masquerade.core.errors import Interrupted, MasqueradeError, WrongPath

        try:
            verb(*args, **kwargs)
        except Interrupted as stop:
            ended(128 + stop.signal, str(stop), stop, failed=False)
        except KeyboardInterrupt as stop:
            ended(130, "stopped", stop, failed=False)
        except WrongPath as error:
            ended(2, str(error), error)
        except MasqueradeError as error:
            ended(1, str(error), error)
        except ValueError as error:
            ended(2, str(error), error)
        except BrokenPipeError:  # `masquerade list | head`: nobody reads any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            ended(1, f"{place}{error.strerror or error}", error)
        except (MemoryError, RuntimeError) as error:
            if not exhausted(error):
                raise
            ended(1, "out of memory: lower batch= or size=; dry_run=true says the need", error)

    return inner


def ended(code: int, text: str, error: BaseException, failed: bool = True) -> None:
    """Says what happened and leaves with an exit code."""
    from masquerade.cli import show

    if os.environ.get("MASQUERADE_TRACEBACK"):
        raise error
    (show.fail if failed else show.say)(text)
    sys.exit(code)


def exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch tells it as a RuntimeError."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text


@app.command()
@told
def pretrain(words: Words = None, json: Json = False) -> None:
    """Train an encoder without labels.

    masquerade pretrain sequential data=photos size=96 epochs=50 out=runs/photos

    NAME is a recipe (masquerade list recipes), sequential if only settings are given; or the
    folder of a run that was cut, which goes on with it. out= is the run's folder, data= a folder,
    a list, a NumPy file or a source (masquerade list sources), scale=small|paper|smoke the size of
    the recipe, devices= the number of processes, and dry_run=true says what the run would cost
    instead of running it. Every other key is a setting; a wrong one is told with the right ones.
    """
    from masquerade.cli import verbs

    verbs.pretrain(words or [], json)


@app.command()
@told
def evaluate(words: Words = None, json: Json = False) -> None:
    """Measure an encoder beside an untrained one and pixels.

    masquerade evaluate runs/photos

    masquerade evaluate runs/photos knn linear data=photos/labelled knn.k=10

    NAME is the run's folder, then the protocols: knn, linear, embedding (a map that needs no
    labels), masks (against exact object masks); all that make sense if none is named. data= takes
    other images than the run's own, baselines=false leaves out the untrained encoder and pixels,
    bn=recalibrate re-estimates batch-norm statistics on whole images first.
    """
    from masquerade.cli import verbs

    verbs.evaluate(words or [], json)


@app.command()
@told
def predict(words: Words = None, json: Json = False) -> None:
    """Label new images with what evaluate fitted.

    masquerade predict runs/photos new/cat.jpg

    masquerade predict runs/photos new with=knn out=labels.csv

    NAMES are the run's folder, then an image file, a folder, a list or a source. with=linear|knn
    chooses the head, split= a part of the source, out= writes a CSV file.
    """
    from masquerade.cli import verbs

    verbs.predict(words or [], json)


@app.command()
@told
def certify(words: Words = None, json: Json = False) -> None:
    """Prove how many poisoned training images a label survives.

    masquerade certify runs/photos data=photos/labelled parts=100

    masquerade certify runs/photos rule=dpa,roe_dpa asserted=unreachable

    masquerade certify features.npz out=runs/certified

    masquerade certify toybox learner=networks learner.network=resnet workers=8

    masquerade certify predict|unlearn|add runs/photos IMAGES

    NAME is a run's folder; an .npz file with features, labels, test_features, test_labels; or raw
    images as data= takes them. parts= is the number of partitions, rule= one or more of masquerade
    list rules, features= trained|untrained|pixels of a run, learner= a base learner: heads, or
    networks, which learn from raw images. What is claimed follows from what the encoder was
    trained on; asserted= adds what only you can know. predict labels new images with a radius
    each; unlearn and add change the training set exactly.
    """
    from masquerade.cli import certifying

    certifying.run(words or [], json)


@app.command()
@told
def masks(words: Words = None, json: Json = False) -> None:
    """Write what a learned masker hides in images.

    masquerade masks runs/photos new/cat.jpg

    masquerade masks runs/photos new out=masks

    NAMES are the run's folder, then an image file, a folder, a list or a source. The folder
    (RUN/masks/NAME unless out= names one) gets, named like the images and as large as they are,
    mask_1, mask_2 ... (grey, white is hidden), labels (the number of the mask that has each
    pixel; left out with hard=false) and overlay (to be looked at); masks.json lists them and
    says how they came about. masker= chooses among several, split= a part of the source.
    """
    from masquerade.cli import verbs

    verbs.masks(words or [], json)


@app.command()
@told
def tickets(words: Words = None, json: Json = False) -> None:
    """Search for sparse networks that can still be trained.

    masquerade tickets digits scale=smoke

    masquerade tickets transfer runs/tickets/digits method=snr train=descend

    masquerade tickets landscape runs/tickets/digits

    NAME is a recipe (masquerade list searches) or the folder of a search that was cut. Each round
    trains, prunes and rewinds; by evolution strategies (masquerade list strategies) or descent.
    transfer trains the tickets of a finished search on another problem= or by another train=;
    landscape measures barriers between its optima and how sharp they are.
    out= is the folder, scale=small|paper|smoke the size of the recipe, devices= the processes.
    """
    from masquerade.cli import ticketing

    ticketing.run(words or [], json)


@app.command()
@told
def table(words: Words = None, json: Json = False) -> None:
    """Run a paper's table, its numbers beside ours.

    masquerade table adversarial_masking.linear [scale=small] [seeds=3] [only=ADIOS]

    NAME is one of masquerade list tables. Every cell is trained and measured with as many seeds
    as asked for, in runs/tables/NAME unless out= names another folder; a table that was cut goes
    on. only= takes the rows or columns that hold a word, dry_run=true says what the table would
    cost. Every other key changes a setting of all runs.
    """
    from masquerade.cli import tabling

    tabling.run(words or [], json)


@app.command()
@told
def report(words: Words = None, json: Json = False) -> None:
    """Write a run as one HTML page, others beside it.

    masquerade report runs/photos [runs/baseline ...]

    The page is report.html in the run's folder; of several runs it is comparison.html in the
    first one's, where runs that differ only in their seed are averaged. The folder of a demo gets
    the demo's page.
    """
    from masquerade.cli import verbs

    verbs.report(words or [], json)


@app.command()
@told
def doctor(words: Words = None, json: Json = False) -> None:
    """Look at every image before pretrain does.

    masquerade doctor photos

    Says of every file that is broken, odd or double what pretrain will do with it, and why; reads
    all pixels, changes nothing. Exit code 0 if every image can be used, 1 if some would be skipped
    or there is none. channels=rgb|grey|keep reads them as data.channels= would; most= names so
    many files of each kind (50 on a terminal, 0 = all).
    """
    from masquerade.cli import doctor as looking

    looking.run(words or [], json)


@app.command(name="list")
@told
def list_(words: Words = None, json: Json = False) -> None:
    """What there is: recipes, tables, sources, maskers, and more.

    masquerade list [recipes|tables|sources|maskers|objectives|optimizers|protocols|rules|learners]

    masquerade list [searches|strategies|problems|networks]

    masquerade list settings [RECIPE]

    masquerade list maskers my_package.my_masker

    settings prints every key of a recipe (sequential unless one is named), its value, its meaning.
    Plug-ins of your own in the current folder are found; others are named by their dotted path.
    Not on a terminal: one line each, family, name and sentence between tabs.
    """
    from masquerade.cli import listing

    listing.run(words or [], json)


@app.command()
@told
def cache(words: Words = None, json: Json = False) -> None:
    """Where decoded images are kept, and how to clear it.

    masquerade cache [clear]

    Images are decoded once. What is cleared is decoded again when it is needed. The environment
    variable MASQUERADE_CACHE moves it.
    """
    from masquerade.cli import storage

    storage.run(words or [], json)


@app.command()
@told
def demo(words: Words = None, json: Json = False) -> None:
    """The whole story in minutes, ending in a page.

    masquerade demo [data=toybox|fashion_mnist|FOLDER] [seed=0] [out=runs/demo]

    Trains SimCLR, Sequential at equal steps, and SimCLR for as many CPU-seconds as Sequential
    took; measures them beside raw pixels and an untrained encoder. A demo that was cut goes on.
    """
    from masquerade.cli import verbs

    verbs.demo(words or [], json)


@export_app.callback()
def export() -> None:
    """Take an encoder or a masker away."""


@export_app.command(name="timm")
@told
def export_timm(words: Words = None, json: Json = False) -> None:
    """Write an encoder that plain timm loads.

    masquerade export timm runs/photos [out=FOLDER] [licence=cc-by-4.0]

    The folder (RUN/timm unless out= names one) gets model.safetensors, config.json and a
    README.md: the model card, with the lines of Python that load it. Equal features are checked
    first.
    """
    from masquerade.cli import taking

    taking.encoder("timm", words or [], json)


@export_app.command(name="torchvision")
@told
def export_torchvision(words: Words = None, json: Json = False) -> None:
    """Write a torchvision encoder for plain torchvision.

    masquerade export torchvision runs/photos [out=FOLDER] [licence=cc-by-4.0]

    For backbones called torchvision:NAME. The folder (RUN/torchvision unless out= names one) gets
    model.safetensors and the model card with the lines that load it.
    """
    from masquerade.cli import taking

    taking.encoder("torchvision", words or [], json)


@export_app.command(name="hub")
@told
def export_hub(words: Words = None, json: Json = False) -> None:
    """Write an encoder as a folder for the Hugging Face hub.

    masquerade export hub runs/photos [out=FOLDER] [licence=cc-by-4.0]

    What export timm writes, with the metadata that the hub reads and .gitattributes, in RUN/hub
    unless out= names another folder. Nothing is uploaded: that is yours to do.
    """
    from masquerade.cli import taking

    taking.encoder("hub", words or [], json)


@export_app.command(name="onnx")
@told
def export_onnx(words: Words = None, json: Json = False) -> None:
    """Write an encoder that any program with ONNX runs.

    masquerade export onnx runs/photos [out=FOLDER] [licence=cc-by-4.0]

    The folder (RUN/onnx unless out= names one) gets model.onnx and the model card. It takes pixels
    from 0 to 1, in batches of any size; standardisation is inside. onnxruntime must give
    PyTorch's features to 1e-4, or nothing is written. Needs the extra onnx.
    """
    from masquerade.cli import taking

    taking.encoder("onnx", words or [], json)


@export_app.command(name="masker")
@told
def export_masker(words: Words = None, json: Json = False) -> None:
    """Write a learned masker for use without its run.

    masquerade export masker runs/photos [out=FOLDER]

    The folder (RUN/masker unless out= names one) gets masker.safetensors and masker.json;
    masquerade.load_masker reads them in Python. masker= chooses among several.
    """
    from masquerade.cli import taking

    taking.masker(words or [], json)


@app.command()
@told
def embed(words: Words = None, json: Json = False) -> None:
    """Write the features of images, with their file names.

    masquerade embed runs/photos new out=features.parquet

    masquerade embed runs/photos split=train,test out=features.npz

    NAMES are the run's folder, then an image file, a folder, a list or a source; the run's own
    images if none is named. The file's ending says the format: .npz, .parquet (needs the extra
    parquet) or .csv; labels are written where they are known. split= names a part of the source,
    or several; masquerade certify takes an .npz of train,test.
    """
    from masquerade.cli import taking

    taking.embed(words or [], json)


@app.command(name="import")
@told
def import_(words: Words = None, json: Json = False) -> None:
    """Make a run of somebody else's checkpoint.

    masquerade import moco_v2_800ep.pth backbone.name=resnet50 out=runs/moco

    NAME is a .safetensors, .pth, .pt, .ckpt or .bin file of timm, torchvision, MoCo, MAE,
    solo-learn or lightly; no code in it is run. backbone.name=, backbone.stem=,
    backbone.options=, size= and normalise=imagenet|model say what it was trained with, out= is the
    run's folder. evaluate, certify, embed and export take it; pretrain goes on from it with
    backbone.weights=RUN.
    """
    from masquerade.cli import taking

    taking.bring(words or [], json)


def version(wanted: bool) -> bool:
    """Print the version and leave, if that is what is wanted."""
    if wanted:
        typer.echo(f"masquerade {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Image encoders without labels, by hiding parts of images.

    masquerade VERB [NAME...] [key=value...]

    Results go to stdout, progress to stderr. Exit codes: 0 done, 1 it could not be done, 2 a
    mistake in the command, 130 Ctrl-C, 143 SIGTERM.
    """


def main() -> None:
    """Run the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    app()
