"""The goals of the benchmarks, computed from their rows: met, not met, or not measured.

Pure: rows in, sentences out. A goal that lacks its rows says so, and is never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Results = Mapping[str, Sequence[Row]]
CABLE = 100e6 / 8  # bytes a second of a classroom's cable, for the time that a transfer takes


@dataclass(frozen=True)
class Goal:
    """One promise: what was measured, the limit, and whether it holds (None: not measured)."""

    section: str
    text: str
    limit: float
    found: float | None = None
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        return None if self.found is None else self.found <= self.limit

    @property
    def verdict(self) -> str:
        return {True: "met", False: "NOT MET", None: "not measured"}[self.met]

    def told(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.1%}" if self.unit == "%" else f"{value:.2f} {self.unit}".strip()


def goals(results: Results) -> list[Goal]:
    """Every goal, section by section."""
    return [goal for name, judge in SECTIONS.items() for goal in judge(results.get(name, ()))]


def fan_out_goals(rows: Sequence[Row]) -> Iterable[Goal]:
    own = {row["clients"]: row for row in rows if row["system"] == "ours"}
    most = max(own, default=0)
    one, many = own.get(1), own.get(most) if most > 1 else None
    yield Goal(
        "fan_out", f"{most or 25} clients, in times of one client", 1.25,
        many["seconds"] / one["seconds"] if one and many else None,
    )  # fmt: skip
    yield Goal(
        "fan_out", "what the station sends, in copies", 1.5,
        many["egress_bytes"] / many["image_bytes"] if many else None,
    )  # fmt: skip
    for row in rows:
        mine = own.get(row["clients"])
        if row["system"] == "udpcast" and row["clients"] > 1 and mine:
            text = f"{row['clients']} clients, in times of udpcast"
            yield Goal("fan_out", text, 1.0, mine["seconds"] / row["seconds"])


def trouble_goals(rows: Sequence[Row]) -> Iterable[Goal]:
    own = next((row for row in rows if row["system"] == "ours"), None)
    yield Goal(
        "trouble", "what healthy machines lose to others' trouble", 0.05,
        own["loss"] if own else None, "%",
    )  # fmt: skip
    late = own["late"] - own["late_finished"] if own and "late_finished" in own else None
    yield Goal("trouble", "late machines that do not finish", 0, late, "")


def disk_goals(rows: Sequence[Row]) -> Iterable[Goal]:
    own = {row["system"]: row for row in rows if row["layout"] == "ours"}
    peers = [row for row in rows if row["layout"] == "classical"]

    def share(system: str, key: str, beside: str) -> float | None:
        mine, others = own.get(system, {}).get(key), [row[beside] for row in peers if row[beside]]
        return mine / min(others) if mine and others else None

    yield Goal("disk", "bytes written, of the best peer's", 0.5,
               share("ours", "bytes_written", "bytes_written"))  # fmt: skip
    for text, system, key, beside in (
        ("time with our proof, of the best peer's without any", "ours", "seconds", "seconds"),
        ("time without proof, both", "ours, unproved", "seconds", "seconds"),
        ("time with everything read back, both", "ours", "seconds", "seconds_proved"),
    ):
        yield Goal("disk", text, 0.5, share(system, key, beside))
    proved, bare = own.get("ours, thin cable"), own.get("ours, thin cable, unproved")
    yield Goal("disk", "proof where the cable takes the time, in times of none", 1.15,
               proved["seconds"] / bare["seconds"] if proved and bare else None)  # fmt: skip


def delta_goals(rows: Sequence[Row]) -> Iterable[Goal]:
    found = {(row["pair"], row["system"]): row for row in rows}
    for system, limit in (("pieces", 0.25), ("patch", 0.15)):
        row = found.get(("point release", system))
        text = f"point release by {system}, of the image"
        yield Goal("delta", text, limit, row["share"] if row else None, "%")
    one = [row for pair, row in found.items() if pair[0].startswith("one package")]
    yield Goal("delta", "one package, of 1.2 × the package and 1 % of the image", 1.0,
               _least(one))  # fmt: skip
    for pair, system in found:
        row, copy = found[pair, system], found.get((pair, "copy"))
        timed = copy and row.get("machine_seconds") and copy.get("machine_seconds")
        if timed and copy and system in ("pieces", "patch"):
            allowed = copy["machine_seconds"] + row["bytes"] / CABLE
            took = row["machine_seconds"] + row["bytes"] / CABLE
            text = f"{pair} by {system}: time, of copying the old file and the transfer"
            yield Goal("delta", text, 1.0, took / allowed)


def _least(rows: Sequence[Row]) -> float | None:
    """The machine takes whichever way costs fewer bytes."""
    own = [row for row in rows if row["system"] in ("pieces", "patch") and row.get("package_bytes")]
    if not own:
        return None
    best = min(own, key=lambda row: int(row["bytes"]))
    allowed = 1.2 * best["package_bytes"] + 0.01 * best["image_bytes"]
    return float(best["bytes"] / allowed)


def thin_line_goals(rows: Sequence[Row]) -> Iterable[Goal]:
    own = [row for row in rows if row["system"].startswith("ours")]
    for row in own:
        text = f"bytes over the line by {row['system'].removeprefix('ours, ')}, in deltas"
        yield Goal("thin_line", text, 1.1, row["line_bytes"] / row["one_delta_bytes"])
    if not own:
        yield Goal("thin_line", "bytes over the line, in deltas", 1.1)


def dashboard_goals(rows: Sequence[Row]) -> Iterable[Goal]:
    pages = [row["ms"] for row in rows if row.get("ms")]
    yield Goal("dashboard", "the slowest page at the server's side", 200.0,
               max(pages, default=None), "ms")  # fmt: skip
    shares = [row["core"] for row in rows if "core" in row]
    yield Goal("dashboard", "one listener of Today, of a core", 0.05,
               max(shares, default=None), "%")  # fmt: skip


SECTIONS: dict[str, Callable[[Sequence[Row]], Iterable[Goal]]] = {
    "fan_out": fan_out_goals, "trouble": trouble_goals, "disk": disk_goals,
    "delta": delta_goals, "thin_line": thin_line_goals, "dashboard": dashboard_goals,
}  # fmt: skip
