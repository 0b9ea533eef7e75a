"""Small copies of the standard sets with their exact names and formats.

Image 0 of each is `corners`: red left above, green right above, blue left below, so that a set
read transposed, mirrored or with its channels swapped is caught.
"""

import gzip
import json
import pickle
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]


def corners(side: int, width: int = 0) -> Bytes:
    image = np.full((side, width or side, 3), 128, np.uint8)
    image[: side // 4, : side // 4] = 255, 0, 0
    image[: side // 4, -side // 4 :] = 0, 255, 0
    image[-side // 4 :, : side // 4] = 0, 0, 255
    return image


def shows_corners(image: Bytes, height: int, width: int) -> bool:
    """Whether a JPEG of `corners` was read upright and in RGB; its edges are blurred."""
    off = np.abs(image[:height, :width].astype(int) - corners(height, width))
    return bool(np.median(off) < 4 and (off.max(2) < 40).mean() > 0.9)


def jpeg(path: Path, height: int, width: int, level: int = 0) -> None:
    """Writes `corners`, or a plain grey where a level is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), level, np.uint8) if level else corners(height, width)
    Image.fromarray(pixels).save(path, format="JPEG", quality=95)


def several(count: int, side: int) -> Bytes:
    noise = np.random.Generator(np.random.PCG64(0))
    images = noise.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    images[0] = corners(side)
    return images


def cifar(root: Path, hundred: bool, count: int = 6) -> None:
    base = root / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    base.mkdir(parents=True)
    rows = several(count, 32).transpose(0, 3, 1, 2).reshape(count, 3072)
    batch = {"data": rows, "filenames": [f"x_{i}.png" for i in range(count)]}
    if hundred:
        batch |= {"fine_labels": list(range(count)), "coarse_labels": [1] * count}
        meta = {
            "fine_label_names": [f"fine_{i}" for i in range(100)],
            "coarse_label_names": [f"coarse_{i}" for i in range(20)],
        }
        names, meta_name = ["train", "test"], "meta"
    else:
        batch |= {"labels": [i % 10 for i in range(count)]}
        meta = {"label_names": [f"name_{i}" for i in range(10)]}
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        meta_name = "batches.meta"
    for name in names:
        (base / name).write_bytes(pickle.dumps(batch, protocol=2))
    (base / meta_name).write_bytes(pickle.dumps(meta, protocol=2))


def stl10(root: Path, count: int = 4, unlabelled: int = 6) -> None:
    base = root / "stl10_binary"
    base.mkdir(parents=True)
    for name, n in (("train", count), ("test", count), ("unlabeled", unlabelled)):
        columns = several(n, 96).transpose(0, 3, 2, 1)  # channel, column, row
        (base / f"{name}_X.bin").write_bytes(columns.tobytes())
    for name in ("train", "test"):
        (base / f"{name}_y.bin").write_bytes(bytes(i % 10 + 1 for i in range(count)))


def fashion_mnist(folder: Path, packed: bool, count: int = 5) -> None:
    folder.mkdir(parents=True)
    grey = several(count, 28)[..., 0]
    for part in ("train", "t10k"):
        images = np.array([0x803, count, 28, 28], ">i4").tobytes() + grey.tobytes()
        labels = np.array([0x801, count], ">i4").tobytes() + bytes(range(count))
        for name, data in (("images-idx3", images), ("labels-idx1", labels)):
            file = folder / f"{part}-{name}-ubyte"
            if packed:
                file.with_suffix(".gz").write_bytes(gzip.compress(data))
            else:
                file.write_bytes(data)


VOC_KEYS = ("2007_000032", "2007_000033", "2007_000039")
VOC_BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
VOC_OBJECT = "<object><name>{}</name><difficult>{}</difficult>{}</object>"


def voc_map(height: int, width: int, inside: int) -> Bytes:
    """A person at rows 8 to 29, columns 10 to 39, with a border of 255."""
    drawn = np.zeros((height, width), np.uint8)
    drawn[8:30, 10:40], drawn[8:30, 9], drawn[30, 10:40] = inside, 255, 255
    return drawn


def palette_png(path: Path, values: Bytes) -> None:
    """Numbers with colours of their own, as VOC keeps its masks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values).convert("P")
    image.putpalette([(37 * i) % 256 for i in range(768)])
    image.frombytes(values.tobytes())
    image.save(path)


def voc(root: Path, year: str = "2012", height: int = 48, width: int = 64) -> Path:
    """Three images with a person; a difficult dog in all but the first."""
    base = root / "VOCdevkit" / f"VOC{year}"
    for k, key in enumerate(VOC_KEYS):
        jpeg(base / "JPEGImages" / f"{key}.jpg", height, width, 60 * k)
        for name, value in (("SegmentationClass", 15), ("SegmentationObject", 1)):
            palette_png(base / name / f"{key}.png", voc_map(height, width, value))
        things = VOC_OBJECT.format("person", 0, VOC_BOX.format(11, 9, 40, 30))
        things += VOC_OBJECT.format("dog", 1, VOC_BOX.format(1, 1, 20, 20)) if k else ""
        (base / "Annotations").mkdir(exist_ok=True)
        (base / "Annotations" / f"{key}.xml").write_text(
            f"<annotation><filename>{key}.jpg</filename><size><width>{width}</width><height>"
            f"{height}</height><depth>3</depth></size><segmented>1</segmented>{things}</annotation>"
        )
    parts = {"train": VOC_KEYS[:2], "val": VOC_KEYS[2:], "trainval": VOC_KEYS}
    parts |= {"test": VOC_KEYS} if year == "2007" else {}
    for name in ("Main", "Segmentation"):
        (base / "ImageSets" / name).mkdir(parents=True)
        for part, keys in parts.items():
            (base / "ImageSets" / name / f"{part}.txt").write_text("\n".join(keys) + "\n")
    (base / "ImageSets" / "Main" / "person_train.txt").write_text(f"{VOC_KEYS[0]}  1\n")
    return base


def coco(root: Path, height: int = 48, width: int = 64) -> Path:
    """Two classes whose numbers have gaps; image 2 is grey and has no object; a crowd in 1."""
    base = root / "coco"
    kinds = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}]
    outline = [[5, 6, 25, 6, 25, 16, 5, 16]]
    runs = {"size": [height, width], "counts": [0, 8, 40, 8, 40, 8, height * width - 104]}
    for part in ("train2017", "val2017"):
        images = []
        for k in range(3):
            jpeg(base / part / f"{139 + k:012d}.jpg", height, width, 60 * k)
            size = {"height": height, "width": width}
            images.append({"id": 139 + k, "file_name": f"{139 + k:012d}.jpg", **size})
        grey = base / part / f"{141:012d}.jpg"
        Image.open(grey).convert("L").save(grey)
        notes: list[dict[str, object]] = [
            {"id": 1000 + k, "image_id": 139 + k, "category_id": (1, 90)[k], "iscrowd": 0,
             "bbox": [5.0, 6.0, 20.0, 10.0], "area": 200.0, "segmentation": outline}
            for k in range(2)
        ]  # fmt: skip
        notes += [
            {"id": 2000, "image_id": 140, "category_id": 1, "iscrowd": 1,
             "bbox": [0, 0, 3, 8], "area": 24.0, "segmentation": runs}
        ]  # fmt: skip
        content = {"images": images, "annotations": notes, "categories": kinds}
        (base / "annotations").mkdir(exist_ok=True)
        (base / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
    return base


SPECIES = (
    "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris",
    "00001_Animalia_Annelida_Polychaeta_Sabellida_Sabellidae_Sabella_spallanzanii",
    "00002_Animalia_Arthropoda_Arachnida_Araneae_Agelenidae_Eratigena_duellica",
)


def inaturalist(root: Path, parts: tuple[str, ...] = ("train", "val")) -> None:
    """Two images of each of three species in each part."""
    for part in parts:
        for k, name in enumerate(SPECIES):
            jpeg(root / part / name / f"{k}a.jpg", 48, 64)
            jpeg(root / part / name / f"{k}b.jpg", 48, 64, 60)


def flowers102(root: Path, count: int = 6) -> Path:
    """Images 1 to 6 of kinds 1, 102, 77, 4, 5, 6: two each in train, val and test."""
    from scipy.io import savemat

    base = root / "flowers-102"
    for i in range(count):
        jpeg(base / "jpg" / f"image_{i + 1:05d}.jpg", 48, 64, 0 if i == 5 else 30 * i + 20)
    savemat(base / "imagelabels.mat", {"labels": np.array([[1, 102, 77, 4, 5, 6]], np.uint8)})
    ids = {"trnid": [[6, 1]], "valid": [[2, 3]], "tstid": [[4, 5]]}
    savemat(base / "setid.mat", {key: np.array(rows, np.uint16) for key, rows in ids.items()})
    return base


NINE = (
    *("00_dog", "01_bird", "02_wheeled vehicle", "03_reptile", "04_carnivore", "05_insect"),
    *("06_musical instrument", "07_primate", "08_fish"),
)


def backgrounds(root: Path, variants: tuple[str, ...] = ("original", "mixed_rand")) -> Path:
    """One image of each class in each variant, and in the training part of the original."""
    base = root / "bg_challenge"
    for part in (*(f"{v}/val" for v in variants), "original/train"):
        for k, name in enumerate(NINE):
            jpeg(base / part / name / f"fg_n0208{k}_1.JPEG", 64, 64, 20 * k)
    return base


def tar_shards(root: Path, counts: tuple[int, ...], stem: str = "photos") -> Path:
    """Samples 000000.jpg, 000000.cls, ... in one archive per count; sample 0 is `corners`."""
    root.mkdir(parents=True, exist_ok=True)
    sample = 0
    for k, count in enumerate(counts):
        with tarfile.open(root / f"{stem}-{k:06d}.tar", "w") as archive:
            for _ in range(count):
                for kind, data in (("jpg", bytes_of(sample)), ("cls", str(sample % 3).encode())):
                    member = tarfile.TarInfo(f"{sample:06d}.{kind}")
                    member.size = len(data)
                    archive.addfile(member, BytesIO(data))
                sample += 1
    return root


def bytes_of(sample: int) -> bytes:
    """A JPEG of 48 x 64: `corners`, or a grey of its own."""
    out = BytesIO()
    pixels = np.full((48, 64, 3), (sample * 5) % 250 + 3, np.uint8) if sample else corners(48, 64)
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def parquet_shards(root: Path, counts: tuple[int, ...], group: int = 3) -> Path:
    """The same samples as Hugging Face writes them: {bytes, path} and a label with names."""
    import pyarrow
    from pyarrow import parquet

    root.mkdir(parents=True, exist_ok=True)
    features = {"label": {"names": ["cat", "dog", "eel"], "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    sample = 0
    for k, count in enumerate(counts):
        rows = range(sample, sample + count)
        cells = [{"bytes": bytes_of(i), "path": f"{i}.jpg"} for i in rows]
        table = pyarrow.table({"image": cells, "label": [i % 3 for i in rows]})
        file = root / f"train-{k:05d}-of-{len(counts):05d}.parquet"
        parquet.write_table(table.replace_schema_metadata(about), file, row_group_size=group)
        sample += count
    return root


def clevr(root: Path, masks: bool = True) -> Path:
    """Two scenes of 48 x 64: a cube and a sphere, then a cylinder and one that is covered."""
    base = root / "CLEVR_v1.0"
    shapes = [["cube", "sphere"], ["cylinder", "cube"]]
    for part in ("train", "val"):
        (base / "images" / part).mkdir(parents=True)
        scenes = []
        for k in range(2):
            name = f"CLEVR_{part}_{k:06d}.png"
            pixels = corners(48, 64) if k == 0 else np.full((48, 64, 3), 90, np.uint8)
            Image.fromarray(pixels).save(base / "images" / part / name)
            if masks:
                (base / "masks" / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(clevr_map(k)).save(base / "masks" / part / name)
            objects = [{"shape": s, "color": "red", "material": "rubber"} for s in shapes[k]]
            scenes.append({"image_filename": name, "image_index": k, "objects": objects})
        (base / "scenes").mkdir(exist_ok=True)
        content = {"info": {"split": part}, "scenes": scenes}
        (base / "scenes" / f"CLEVR_{part}_scenes.json").write_text(json.dumps(content))
    return base


def clevr_map(k: int) -> Bytes:
    numbers = np.zeros((48, 64), np.uint8)
    numbers[10:20, 5:25] = 1
    if k == 0:
        numbers[15:30, 20:40] = 2
    return numbers


def wire(number: int, data: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    length, head = len(data), b""
    while length > 127:
        head, length = head + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + head + bytes([length]) + data


def single_bytes(values: Bytes) -> bytes:
    """A list of strings of one byte each, as the set with masks keeps every number."""
    flat = values.reshape(-1)
    return np.stack([np.full_like(flat, 0x0A), np.ones_like(flat), flat], 1).tobytes()


def clevr_with_masks(root: Path, count: int = 3) -> Path:
    """Records with two objects each, of shapes 3 and 1, in a file as it is released (gzip)."""
    root.mkdir(parents=True, exist_ok=True)
    masks = np.zeros((11, 240, 320), np.uint8)
    masks[1, 100:140, 50:110], masks[2, 20:60, 200:260] = 255, 255
    masks[0] = 255 - masks[1:].max(0)
    shape = np.array([0, 3, 1, *[0] * 8], np.uint8)
    out = b""
    for k in range(count):
        image = corners(240, 320) if k == 0 else np.full((240, 320, 3), 40 * k, np.uint8)
        found: dict[str, Bytes] = {"image": image, "mask": masks, "shape": shape}
        entries = b"".join(
            wire(1, wire(1, name.encode()) + wire(2, wire(1, single_bytes(values))))
            for name, values in found.items()
        )
        x = wire(1, wire(1, b"x") + wire(2, wire(2, wire(1, np.zeros(11, "<f4").tobytes()))))
        message = wire(1, entries + x)
        out += len(message).to_bytes(8, "little") + b"\0" * 4 + message + b"\0" * 4
    file = root / "clevr_with_masks_train.tfrecords"
    file.write_bytes(gzip.compress(out, 1))
    return file
