"""How a system image is best packed and cut for small updates.

    python -m tests.bench.chunk_options [--work FOLDER] [--pair NAME …] [--blocks 64 128 …]

For each pair of trees (`pairs`), block size, with and without fragments, and average piece:
the bytes that a machine with the old image would have to fetch of the new one, and the map.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from provisioner.release.chunking import cut
from provisioner.release.chunks import merge, plan_prefill, write_chunk_map
from provisioner.run import run
from tests.bench import pairs

NAMES = {"one": pairs.ONE_PACKAGE, "point": pairs.POINT_RELEASE, "two": pairs.TWO_STEPS}
AVERAGES_KIB = (8, 16, 32, 64)
PACK_S = 1800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--pair", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--blocks", nargs="+", type=int, default=[64, 128, 256, 1024])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        work = options.work or Path(aside)
        print(
            "| pair | image MB | block KiB | fragments | piece KiB | missing | + map | requests |"
        )
        print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
        for name in options.pair:
            base = pairs.available(pairs.UNCHANGED, 1)
            pair = pairs.make_pair(work, name, pairs.available(NAMES[name]), base)
            for line in measure(pair, work, options.blocks):
                print(line, flush=True)


def measure(pair: pairs.Pair, work: Path, blocks: list[int]) -> Iterator[str]:
    for block in blocks:
        for fragments in (True, False) if block == 128 else (True,):
            old, new = (pack(tree, work, block, fragments) for tree in (pair.old, pair.new))
            for average in AVERAGES_KIB:
                maps = [cut(path, average=average * 1024) for path in (old, new)]
                plan = plan_prefill(maps[1], [maps[0]])
                whole = maps[1].size
                more = len(write_chunk_map(maps[1]))
                yield (
                    f"| {pair.name} | {whole / 1e6:.1f} | {block} | {'yes' if fragments else 'no'} "
                    f"| {average} | {plan.missing_bytes / whole:.2%} "
                    f"| {(plan.missing_bytes + more) / whole:.2%} | {len(merge(plan.missing))} |"
                )


def pack(tree: Path, work: Path, block_kib: int, fragments: bool) -> Path:
    """As `squashfs.pack` does it, with other options."""
    out = work / f"{tree.name}.sq"
    out.unlink(missing_ok=True)
    run(
        [
            "mksquashfs", tree, out, "-noappend", "-no-progress", "-no-exports", "-comp", "zstd",
            "-Xcompression-level", "9", "-b", f"{block_kib}K",
            *([] if fragments else ["-no-fragments"]),
        ],
        timeout_s=PACK_S, env={"SOURCE_DATE_EPOCH": "1700000000"},
    )  # fmt: skip
    return out


if __name__ == "__main__":
    main()
