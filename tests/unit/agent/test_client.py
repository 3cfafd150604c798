"""The machine's side of the dialogue: nothing of an answer is used unless it is the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.agent.client import RefusedError, StationClient, read_problem
from provisioner.agent.memory import RESERVE, Counter, UsedOrders
from provisioner.agent.surroundings import Home
from provisioner.errors import UnreachableError, UntrustedError
from provisioner.model.signed import PrivateKey
from tests.unit.agent.station import StubStation


def test_an_honest_answer_is_used(client: StationClient, station: StubStation) -> None:
    reply = client.poll(None)
    assert reply.asset_tag == "T-001"
    assert station.requests[0][0] == "poll"


def test_an_answer_of_another_key_is_refused(client: StationClient, station: StubStation) -> None:
    other = PrivateKey.generate()
    station.seal = other.seal
    with pytest.raises(UntrustedError):
        client.poll(None)


def test_an_altered_answer_is_refused(client: StationClient, station: StubStation) -> None:
    def tamper(reply: object) -> str:
        text = station.key.seal(reply)  # type: ignore[arg-type]
        at = text.index('"payload":"') + 40
        return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]

    station.seal = tamper
    with pytest.raises(UntrustedError):
        client.poll(None)


@pytest.mark.parametrize("change", [{"counter": 1}, {"to_key": "0" * 64}])
def test_an_answer_to_another_question_is_refused(
    client: StationClient, station: StubStation, change: dict[str, object]
) -> None:
    station.mangle = lambda reply: reply.model_copy(update=change)
    with pytest.raises(UntrustedError):
        client.poll(None)


def test_the_stations_refusal_is_told(client: StationClient, station: StubStation) -> None:
    station.refuse = lambda _door: (404, "This machine is not registered.")
    with pytest.raises(RefusedError) as caught:
        client.poll(None)
    assert caught.value.status == 404
    assert "not registered" in caught.value.hint


def test_a_station_in_trouble_is_waited_for(client: StationClient, station: StubStation) -> None:
    station.refuse = lambda _door: (503, "busy")
    with pytest.raises(UnreachableError):
        client.poll(None)


def test_no_station_is_unreachable(home: Home) -> None:
    from dataclasses import replace

    nowhere = replace(home, station_url="http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        StationClient(nowhere, Counter()).poll(None)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"title": 3}', b"[" * 100_000])
def test_any_body_of_a_refusal_is_survived(body: bytes) -> None:
    assert isinstance(read_problem(400, body), RefusedError)


def test_counters_only_rise(client: StationClient, station: StubStation) -> None:
    for _ in range(5):
        client.poll(None)
    counters = [counter for _, counter in station.requests]
    assert counters == sorted(set(counters))


def test_a_kept_counter_rises_over_a_clock_that_fell(tmp_path: Path) -> None:
    file = tmp_path / "memory/counter"
    last = Counter(file, start=10**18).next()
    again = Counter(file, start=5).next()
    assert again > last
    assert again <= last + RESERVE + 1


def test_used_orders_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "memory/orders"
    UsedOrders(file).add("a" * 32)
    assert "a" * 32 in UsedOrders(file)
    assert "b" * 32 not in UsedOrders(file)
