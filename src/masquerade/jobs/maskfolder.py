"""A folder of masks: which files it holds for each image, and `masks.json`, which lists them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from masquerade.core.errors import CannotResume, MissingData
from masquerade.core.rundir import RunDir

LIST = "masks.json"
OVERLAY = "overlay"  # the one kind that is a photograph

Files = dict[str, str]  # what it is (`mask_1`, `labels`, `overlay`): its path in the folder


def claimed(root: Path, source: str) -> RunDir:
    """The folder, for the masks of the images of `source`; files of earlier ones are removed.

    Raises:
        CannotResume: It is a file, or holds anything but masks of these images.
    """
    if root.exists() and not root.is_dir():
        raise CannotResume(f"{root} is a file; out= must name a folder")
    folder = RunDir(root)
    if not root.exists() or not any(root.iterdir()):
        return folder
    content = earlier(folder)
    if content is None:
        first = min(path.name for path in root.iterdir())
        raise CannotResume(
            f"{root} is not empty ({first}) and holds no masks; name another folder with out="
        )
    if content["images_from"] != source:
        raise CannotResume(
            f"{root} holds the masks of {content['images_from']}; name another folder with out="
        )
    for entry in content["images"]:
        for name in entry["files"].values():
            place = root / name
            if place.resolve().is_relative_to(root.resolve()):
                removed(place, root)
    return folder


def removed(place: Path, root: Path) -> None:
    """Removes a file below a folder, and the folders between them that it leaves empty."""
    place.unlink(missing_ok=True)
    for above in place.parents:
        if above == root or not above.is_dir() or any(above.iterdir()):
            return
        above.rmdir()


def earlier(folder: RunDir) -> dict[str, Any] | None:
    """What an earlier list says; None where there is none of ours."""
    try:
        content = folder.read_json(LIST)
    except MissingData:
        return None
    ours = isinstance(content, dict) and {"format", "images_from", "images"} <= set(content)
    return content if ours else None


def planned(files: Sequence[str], kinds: Sequence[str]) -> list[Files]:
    """The paths of everything that will be written for each image, different for all images.

    Images keep their folders below the one that holds them all, and their suffix where two images
    differ in nothing else.
    """
    whole = below(files)
    stems = Counter(str(path.with_suffix("")).lower() for path in whole)
    taken: set[str] = set()
    plan = []
    for path in whole:
        alone = stems[str(path.with_suffix("")).lower()] == 1
        name = base = str(path.with_suffix("") if alone else path)
        number = 2
        while name.lower() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.lower())
        plan.append({k: f"{k}/{name}.{'jpg' if k == OVERLAY else 'png'}" for k in kinds})
    return plan


def below(files: Sequence[str]) -> list[PurePosixPath]:
    """The names of images, none of which leads out of a folder.

    Names that would (`/a/b/1.jpg`, `../1.jpg`) are cut to what is below the folder they share.
    """
    paths = [PurePosixPath(file) for file in files]
    if all(not {"/", ".."} & set(path.parts) for path in paths):
        return paths
    parents = [path.parts[:-1] for path in paths]
    shared = 0
    while all(len(p) > shared and p[shared] == parents[0][shared] for p in parents):
        shared += 1
    return [
        PurePosixPath(*[part for part in path.parts[shared:] if part not in ("/", "..")])
        for path in paths
    ]
