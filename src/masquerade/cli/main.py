"""The `masquerade` command. Heavy modules are imported once a verb runs, so that help is quick."""

import io
import sys
from typing import Annotated

import typer

from masquerade import __version__
from masquerade.cli import exchange
from masquerade.cli.calling import Json, Words, told

app = typer.Typer(
    name="masquerade",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


app.add_typer(exchange.export_app, name="export")
app.command()(exchange.embed)
app.command(name="import")(exchange.import_)


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
