"""The path of a machine, as a table."""

from __future__ import annotations

import pytest

from provisioner.lifecycle import (
    STAGES,
    WORKSHOP_GOAL,
    Milestone,
    Place,
    Verb,
    may_start,
    needs_live_environment,
    next_stage,
    stage,
    when_not_proved,
    when_proved,
    while_running,
)


def test_the_workshop_walks_from_unknown_to_verified() -> None:
    verbs, milestone = [], Milestone.UNKNOWN
    while (row := next_stage(milestone)) is not None:
        verbs.append(row.verb)
        milestone = row.gives
    assert " → ".join(verbs) == ("discover → enrol → diagnose → wipe → image → configure → verify")
    assert milestone is WORKSHOP_GOAL


def test_every_verb_has_one_row() -> None:
    assert sorted(row.verb for row in STAGES) == sorted(Verb)


@pytest.mark.parametrize("row", [row for row in STAGES if not row.beside], ids=lambda r: r.verb)
def test_a_running_stage_never_claims_what_it_is_about_to_prove(row: object) -> None:
    assert stage(row.verb).holds.rank < stage(row.verb).gives.rank  # type: ignore[attr-defined]


@pytest.mark.parametrize("milestone", Milestone)
@pytest.mark.parametrize("verb", [row.verb for row in STAGES if row.destroys])
def test_destroying_lowers_the_milestone_first(verb: Verb, milestone: Milestone) -> None:
    during = while_running(verb, milestone)
    assert during.rank <= milestone.rank
    assert during.rank < stage(verb).gives.rank


def test_wiping_a_verified_machine_takes_everything_back_to_diagnosed() -> None:
    assert while_running(Verb.WIPE, Milestone.VERIFIED) is Milestone.DIAGNOSED


def test_renewing_takes_nothing_away_whatever_comes_of_it() -> None:
    at = Milestone.HANDED_OVER
    assert while_running(Verb.RENEW, at) is at
    assert when_proved(Verb.RENEW, at) is at
    assert when_not_proved(Verb.RENEW, at) is at
    assert not may_start(Verb.RENEW, Milestone.VERIFIED)


def test_looking_again_takes_nothing_away_until_it_finds_something() -> None:
    at = Milestone.HANDED_OVER
    assert while_running(Verb.VERIFY, at) is at
    assert when_proved(Verb.VERIFY, at) is at
    assert when_not_proved(Verb.VERIFY, at) is Milestone.CONFIGURED


def test_imaging_waits_for_the_wipe() -> None:
    assert not may_start(Verb.IMAGE, Milestone.DIAGNOSED)
    assert may_start(Verb.IMAGE, Milestone.WIPED)
    assert may_start(Verb.IMAGE, Milestone.VERIFIED)  # once more


def test_a_retired_machine_starts_nothing() -> None:
    assert not any(may_start(verb, Milestone.RETIRED) for verb in Verb)


def test_destructive_stages_run_only_in_the_live_environment() -> None:
    for row in STAGES:
        if row.destroys:
            assert row.place is Place.MACHINE_LIVE


def test_a_machine_with_its_release_starts_from_its_own_disk() -> None:
    assert needs_live_environment(Milestone.WIPED)
    assert not needs_live_environment(Milestone.IMAGED)
