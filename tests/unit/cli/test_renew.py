"""`provisioner renew`: ordering, taking back, and a table in which every claim has an age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from provisioner.cli.renew import age
from provisioner.lifecycle import Milestone
from provisioner.workshop.station import Station
from tests import factories
from tests.unit.cli.conftest import Terminal

NEXT = factories.make_manifest().model_copy(update={"version": "2027.1", "number": 2027001})


@pytest.fixture
def school(station: Station) -> Station:
    factories.publish(station, NEXT)
    factories.open_batch(station)
    with station.database.transaction() as session:
        factories.add_machine(session, 1, Milestone.HANDED_OVER)
        factories.add_machine(session, 2, Milestone.VERIFIED)
    return station


def test_a_classroom_is_renewed_and_shown(school: Station, terminal: Terminal) -> None:
    said = terminal.run("renew", factories.SCHOOL, "--release", "education")
    assert "1 machines will be told" in said.stderr
    rows = {row["machine"]: row for row in terminal.json("renew", factories.SCHOOL)}
    assert (rows["PC-0001"]["wanted"], rows["PC-0001"]["state"]) == (NEXT.id, "waiting")
    assert rows["PC-0002"]["state"] == ""  # not handed over: the workshop's
    assert rows["PC-0001"]["health"] is None
    table = terminal.run("renew", factories.SCHOOL).stdout
    assert "unknown" in table
    assert "now" in table
    assert "1 orders withdrawn" in terminal.run("renew", factories.SCHOOL, "--withdraw").stderr


def test_a_school_that_has_no_machines(school: Station, terminal: Terminal) -> None:
    terminal.run("renew", "nowhere", code=1)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "now"), (59, "now"), (61, "1 min ago"), (7300, "2 h ago"), (10**6, "11 d ago")],
)
def test_how_long_ago(seconds: float, said: str) -> None:
    now = datetime(2029, 3, 1, tzinfo=UTC)
    assert age(now, now - timedelta(seconds=seconds)) == said
