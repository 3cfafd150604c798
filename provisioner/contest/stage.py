"""A thumbnail of the stage, drawn from an entry's own pictures without running anything.

`draw_stage` is called in a process of its own with little memory and time (`thumbnail`): a picture
decoder is the one place where hostile bytes meet complicated code. What comes out is a PNG of our
own making; neither SVG nor any other file of an entry ever reaches a browser.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, NoReturn

from cairosvg.surface import PNGSurface
from PIL import Image, ImageDraw

from provisioner.entry import sb3
from provisioner.entry.refusal import EntryRefusedError
from provisioner.entry.sb3 import asset_name
from provisioner.errors import ProvisionerError, TooSlowError
from provisioner.run import run

STAGE = (480, 360)
MOST_SPRITES = 100
MOST_PIXELS = 4_000_000
MEMORY_BYTES = 1024**3
CPU_S = 20
DRAW_S = 60.0


def thumbnail(entry: Path, out: Path) -> bool:
    """Draw the stage of an entry into the PNG `out`; False when it cannot be drawn.

    Raises TooSlowError when this computer had no time for it: another time it may.
    The file is opened again afterwards: what is not a PNG of the right size is taken away.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    limits = ["prlimit", f"--as={MEMORY_BYTES}", f"--cpu={CPU_S}", "--fsize=20000000", "--core=0"]
    try:
        run([*limits, sys.executable, "-m", __name__, entry, out], timeout_s=DRAW_S)
        with Image.open(out) as picture:
            picture.verify()
            good = picture.format == "PNG" and picture.size == STAGE
    except TooSlowError:
        out.unlink(missing_ok=True)
        raise
    except (ProvisionerError, OSError, SyntaxError, ValueError):
        good = False
    if not good:
        out.unlink(missing_ok=True)
    return good


def draw_stage(data: bytes) -> Image.Image:
    """The stage as it is before the green flag: backdrop, then visible sprites by layer."""
    project, assets = sb3.read(data)
    stage = Image.new("RGBA", STAGE, "white")
    targets = project["targets"]
    sprites = [t for t in targets if not t["isStage"] and t.get("visible", True)]
    sprites.sort(key=lambda target: target.get("layerOrder", 1))
    for target in [targets[0], *sprites[:MOST_SPRITES]]:
        _put(stage, target, assets)
    return stage.convert("RGB")


def _put(stage: Image.Image, target: dict[str, Any], assets: dict[str, bytes]) -> None:
    costumes = target["costumes"]
    costume = costumes[min(target.get("currentCostume", 0), len(costumes) - 1)]
    name = asset_name(costume)
    scale = 1.0 if target["isStage"] else min(max(target.get("size", 100.0) / 100, 0.02), 5.4)
    # Bitmaps hold two points for each of the stage's, and the costume says so.
    divisor = 1 if name.endswith(".svg") else min(max(costume.get("bitmapResolution", 1), 1), 4)
    try:
        picture = _decode(assets[name], name, scale / divisor)
    except Exception:  # decoders fail in ways of their own; this process is there to take it
        picture = _unknown()
    whole = divisor / scale / 2
    # Without a centre of its own the picture is put down by its middle.
    centre = (_near(costume.get("rotationCenterX", picture.width * whole)),
              _near(costume.get("rotationCenterY", picture.height * whole)))  # fmt: skip
    x, y = (0.0, 0.0) if target["isStage"] else (target.get("x", 0.0), target.get("y", 0.0))
    left, top = round(STAGE[0] / 2 + _near(x) - centre[0] * scale / divisor), round(
        STAGE[1] / 2 - _near(y) - centre[1] * scale / divisor)  # fmt: skip
    stage.alpha_composite(picture, *_cropped(left, top, picture))


def _cropped(left: int, top: int, picture: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where it goes and from where in the picture, since nothing may hang over the edge."""
    source = (min(max(0, -left), picture.width), min(max(0, -top), picture.height))
    return (max(0, min(left, STAGE[0])), max(0, min(top, STAGE[1]))), source


def _decode(content: bytes, name: str, scale: float) -> Image.Image:
    """The picture in RGBA at its size on the stage."""
    if name.endswith(".svg"):
        if not content:
            return Image.new("RGBA", (1, 1))
        png = PNGSurface.convert(
            bytestring=content, scale=scale, unsafe=False, url_fetcher=_nothing
        )
        return _small(Image.open(io.BytesIO(png)))
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    picture = _small(Image.open(io.BytesIO(content)))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size)


def _small(picture: Image.Image) -> Image.Image:
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError("too large to be drawn")
    return picture.convert("RGBA")


def _unknown() -> Image.Image:
    """A picture that cannot be drawn is a grey square, as in the editor a question mark."""
    picture = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((2, 2, 57, 57), fill="#d0d0d0", outline="#808080")
    return picture


def _near(value: float) -> float:
    return min(max(float(value), -1000.0), 1000.0)


def _nothing(*_: object) -> NoReturn:
    raise ValueError("a picture fetches nothing")


def main(arguments: list[str]) -> int:
    """`python -m provisioner.contest.stage ENTRY OUT`, inside its limits."""
    try:
        draw_stage(Path(arguments[0]).read_bytes()).save(arguments[1], "PNG")
    except EntryRefusedError as error:
        print(error.code, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
