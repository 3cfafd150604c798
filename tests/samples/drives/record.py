"""Makes the samples of this folder: `python tests/samples/drives/record.py`.

The bytes that a drive would answer are set here, word by word, from the standards; the real tools
print them. So what a sample means is written here, by the standard, and never by our parser.
ACS-4: IDENTIFY DEVICE words 59 (sanitize), 82, 83, 85, 86 (security, HPA, DCO), 89, 90, 92, 100 to
103, 128 (security status), 217; SANITIZE STATUS EXT; READ NATIVE MAX ADDRESS EXT; DEVICE
CONFIGURATION IDENTIFY. NVM Express base specification 1.4: Identify Controller bytes 256 (OACS),
328 (SANICAP), 524 (FNA); log page 81h (SPROG, SSTAT).
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SECTORS = 1953525168  # 1 TB, as makers count
SUPPORTED, ENABLED, LOCKED, FROZEN, EXPIRED, ENHANCED = (1 << bit for bit in range(6))
OVERWRITE, CRYPTO, BLOCK = 1 << 14, 1 << 13, 1 << 15


def text(words: list[int], start: int, count: int, value: str) -> None:
    raw = value.ljust(count * 2).encode()
    for index in range(count):
        words[start + index] = raw[index * 2] << 8 | raw[index * 2 + 1]


def identify(
    security: int, sanitize: int = 0, rotation: int = 7200, sectors: int = SECTORS
) -> bytes:
    words = [0] * 256
    words[0], words[47], words[49], words[50], words[53] = 0x0040, 0x8010, 0x2F00, 0x4000, 0x0007
    text(words, 10, 10, "WD-SAMPLE0001")
    text(words, 23, 4, "01.01A01")
    text(words, 27, 20, "SAMPLE DRIVE 1000")
    words[59] = sanitize and sanitize | 1 << 12
    words[60], words[61] = 0xFFFF, 0x0FFF
    words[63], words[64], words[88] = 0x0007, 0x0003, 0x407F
    words[80] = 0x07F0
    words[82] = words[85] = (
        (1 << 1 if security else 0) | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 14
    )
    words[83] = words[86] = 1 << 14 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13
    words[84] = words[87] = 1 << 14
    words[89], words[90], words[92] = 84, 84, 0xFFFE
    words[100], words[101] = sectors & 0xFFFF, sectors >> 16 & 0xFFFF
    words[102] = sectors >> 32
    words[106], words[128], words[217], words[255] = 0x6003, security, rotation, 0x00A5
    raw = struct.pack("<256H", *words)
    return raw[:511] + bytes([-sum(raw[:511]) & 255])


def registers(lba: int = 0, count: int = 0, status: int = 0x50) -> bytes:
    """The twelve last bytes of SAT's ATA status return descriptor, LBA48."""
    low = [lba >> shift & 255 for shift in (0, 8, 16)]
    high = [lba >> shift & 255 for shift in (24, 32, 40)]
    return bytes([1, 0, count >> 8, count & 255, high[0], low[0], high[1], low[1], high[2], low[2],
                  0x40, status])  # fmt: skip


def dco(sectors: int) -> bytes:
    words = [0] * 256
    words[0], words[1], words[2] = 2, 0x0007, 0x007F
    words[3], words[4] = (sectors - 1) & 0xFFFF, (sectors - 1) >> 16 & 0xFFFF
    words[5], words[6] = (sectors - 1) >> 32, 0
    words[7], words[255] = 0x01FF, 0x00A5
    raw = struct.pack("<256H", *words)
    return raw[:511] + bytes([-sum(raw[:511]) & 255])


def controller(sanicap: int, fna: int, oacs: int = 0x2) -> bytes:
    raw = bytearray(4096)
    raw[0:4] = b"\x4d\x14\x4d\x14"
    raw[4:24], raw[24:64] = b"S4SAMPLE0001".ljust(20), b"SAMPLE NVME 256GB".ljust(40)
    raw[64:72] = b"1.0     "
    struct.pack_into("<H", raw, 256, oacs)
    struct.pack_into("<I", raw, 328, sanicap)
    raw[524] = fna
    struct.pack_into("<I", raw, 516, 1)
    return bytes(raw)


def sanitize_log(progress: int, status: int) -> bytes:
    return (
        struct.pack("<HHI", progress, status, 2)
        + struct.pack("<6I", *[0xFFFFFFFF] * 6)
        + bytes(480)
    )


EC, B4, B1, F8, N27 = "ec", "b4", "b1", "f8", "27"
ATA: dict[str, dict[str, bytes]] = {
    "plain": {EC: identify(SUPPORTED | ENHANCED)},
    "frozen": {EC: identify(SUPPORTED | ENHANCED | FROZEN)},
    "locked": {EC: identify(SUPPORTED | ENHANCED | ENABLED | LOCKED)},
    "password-set": {EC: identify(SUPPORTED | ENABLED)},
    "expired": {EC: identify(SUPPORTED | EXPIRED)},
    "no-security": {EC: identify(0)},
    "ssd": {EC: identify(SUPPORTED | ENHANCED, CRYPTO | BLOCK, 1)},
    "ssd-no-sanitize": {EC: identify(SUPPORTED | ENHANCED, 0, 1)},
    "hdd-sanitize": {EC: identify(SUPPORTED, OVERWRITE)},
}
NVME = {
    "all": controller(0b111, 0b100),  # crypto, block and overwrite; format may scramble the key
    "block": controller(0b010, 0),
    "format-crypto": controller(0, 0b100),
    "format-only": controller(0, 0),
    "nothing": controller(0, 0, 0),
}
LOGS = {"never": (65535, 0), "done": (65535, 0x101), "running": (32768, 2), "failed": (65535, 3),
        "done-no-dealloc": (65535, 4)}  # fmt: skip
MAX = {"no-hpa": (SECTORS, SECTORS), "hpa": (SECTORS - 1_000_000, SECTORS)}
SANITIZE = {"idle": (0x8000, 0xFFFF), "never": (0, 0xFFFF), "running": (0x4000, 0x7FFF),
            "frozen": (0x2000, 0xFFFF)}  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        library = work / "answers.so"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-o", library, HERE / "answers.c", "-ldl"], check=True
        )

        def tell(sample: str, answers: dict[str, bytes], *command: str) -> None:
            drive = work / sample.replace("/", "-")
            drive.mkdir(exist_ok=True)
            for file, content in answers.items():
                (drive / file).write_bytes(content)
            env = {**os.environ, "LD_PRELOAD": str(library), "DRIVE": str(drive), "LC_ALL": "C"}
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            (HERE / sample).write_text(done.stdout.replace("/dev/loop0", "/dev/sda") + done.stderr)

        for case, answers in ATA.items():
            tell(f"identify-{case}.txt", answers, "hdparm", "-I", "/dev/loop0")
        for case, (now, native) in MAX.items():
            answers = {EC: identify(SUPPORTED, sectors=now), "27.regs": registers(native - 1)}
            tell(f"max-{case}.txt", answers, "hdparm", "-N", "/dev/loop0")
        for case, real in (("none", SECTORS), ("hidden", SECTORS + 2_000_000)):
            tell(f"dco-{case}.txt", {EC: identify(SUPPORTED), B1: dco(real)},
                 "hdparm", "--dco-identify", "/dev/loop0")  # fmt: skip
        for case, (count, progress) in SANITIZE.items():
            answers = {EC: identify(SUPPORTED, OVERWRITE), "b4.regs": registers(progress, count)}
            tell(f"sanitize-{case}.txt", answers, "hdparm", "--sanitize-status", "/dev/loop0")
        for case, raw in NVME.items():
            tell(
                f"nvme-{case}.json",
                {"identify-1": raw},
                "nvme",
                "id-ctrl",
                "/dev/null",
                "-o",
                "json",
            )
        for case, (progress, status) in LOGS.items():
            tell(f"nvme-log-{case}.json", {"log-81": sanitize_log(progress, status)},
                 "nvme", "sanitize-log", "/dev/null", "-o", "json")  # fmt: skip


if __name__ == "__main__":
    main()
