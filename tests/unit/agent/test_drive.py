"""What drives can do and hide: the real tools' print of answers made from the standards.

What is expected of each sample is written from the bits that tests/samples/drives/record.py sets.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.agent import drive, drive_erase
from provisioner.agent.drive import ata_facts, nvme_facts, parse_nvme_log, parse_sanitize_status
from provisioner.errors import DiskFaultError
from provisioner.model.erasure import (
    DriveFacts,
    Refusal,
    WipeLevel,
    WipeMethod,
    choose_method,
    found_share,
    undetected_share,
)
from provisioner.model.hardware import Transport

SAMPLES = Path(__file__).parents[2] / "samples/drives"
SIZE = 1953525168 * 512
M, CLEAR, PURGE = WipeMethod, WipeLevel.CLEAR, WipeLevel.PURGE
HDD = DriveFacts(transport=Transport.SATA, rotational=True, size_bytes=SIZE)
SSD = HDD.model_copy(update={"rotational": False})
NVME = DriveFacts(transport=Transport.NVME, rotational=False, size_bytes=256 * 10**9)


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


def ata(name: str, base: DriveFacts = HDD, **others: str) -> DriveFacts:
    return ata_facts(
        base, sample(f"identify-{name}.txt"), **{k: sample(v) for k, v in others.items()}
    )


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("plain", {"supported", "enhanced"}),
        ("frozen", {"supported", "enhanced", "frozen"}),
        ("locked", {"supported", "enhanced", "enabled", "locked"}),
        ("password-set", {"supported", "enabled"}),
        ("expired", {"supported", "expired"}),
        ("no-security", set()),
    ],
)
def test_the_security_word_is_read_bit_by_bit(name: str, bits: set[str]) -> None:
    told = ata(name).security.model_dump()
    assert {bit for bit, is_set in told.items() if is_set} == bits


def test_what_a_drive_offers() -> None:
    assert ata("no-security").offers == {M.OVERWRITE}
    assert ata("password-set").offers == {M.OVERWRITE, M.ATA_SECURITY_ERASE}
    assert ata("hdd-sanitize").offers == {
        M.OVERWRITE, M.ATA_SECURITY_ERASE, M.ATA_SANITIZE_OVERWRITE,
    }  # fmt: skip
    assert ata("ssd").offers >= {M.ATA_SANITIZE_CRYPTO, M.ATA_SANITIZE_BLOCK}
    assert M.ATA_SANITIZE_OVERWRITE not in ata("ssd").offers


@pytest.mark.parametrize(
    ("name", "offers"),
    [
        ("all", {M.NVME_SANITIZE_CRYPTO, M.NVME_SANITIZE_BLOCK, M.NVME_SANITIZE_OVERWRITE,
                 M.NVME_FORMAT_USER_DATA, M.NVME_FORMAT_CRYPTO}),
        ("block", {M.NVME_SANITIZE_BLOCK, M.NVME_FORMAT_USER_DATA}),
        ("format-crypto", {M.NVME_FORMAT_USER_DATA, M.NVME_FORMAT_CRYPTO}),
        ("format-only", {M.NVME_FORMAT_USER_DATA}),
        ("nothing", set()),
    ],
)  # fmt: skip
def test_what_an_nvme_drive_offers(name: str, offers: set[WipeMethod]) -> None:
    facts = nvme_facts(NVME, sample(f"nvme-{name}.json"), alone=True)
    assert facts.told
    assert facts.offers == offers | {M.OVERWRITE}


def test_hidden_areas_are_found() -> None:
    smaller = HDD.model_copy(update={"size_bytes": SIZE - 1_000_000 * 512})
    assert ata("plain", maximum="max-no-hpa.txt", dco="dco-none.txt").hidden_bytes == 0
    assert ata("plain", smaller, maximum="max-hpa.txt").hidden_bytes == 1_000_000 * 512
    # hdparm says “HPA is disabled” here; only the third figure tells.
    hidden = ata("plain", maximum="max-no-hpa.txt", dco="dco-hidden.txt")
    assert hidden.hidden_bytes == 2_000_000 * 512


@pytest.mark.parametrize(
    "nonsense",
    ["", " max sectors   = 18446744073321613488/1, HPA setting seems invalid",
     " max sectors   = 1/999999999999999999, HPA is enabled", "Real max sectors: 1", "\x00" * 9],
)  # fmt: skip
def test_nonsense_about_sizes_is_no_knowledge(nonsense: str) -> None:
    facts = ata_facts(HDD, sample("identify-plain.txt"), nonsense, nonsense)
    assert (facts.native_bytes, facts.real_bytes, facts.hidden_bytes) == (None, None, 0)


@pytest.mark.parametrize(
    ("name", "done", "running", "frozen"),
    [("idle", True, False, False), ("never", False, False, False), ("running", False, True, False),
     ("frozen", False, False, True)],
)  # fmt: skip
def test_where_a_sanitize_stands(name: str, done: bool, running: bool, frozen: bool) -> None:
    state = parse_sanitize_status(sample(f"sanitize-{name}.txt"))
    assert (state.done, state.running, state.frozen) == (done, running, frozen)
    assert state.fraction == pytest.approx(0.5 if running else 0.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "done", "failed"),
    [("done", True, False), ("done-no-dealloc", True, False), ("never", False, False),
     ("running", False, False), ("failed", False, True)],
)  # fmt: skip
def test_where_an_nvme_sanitize_stands(name: str, done: bool, failed: bool) -> None:
    state = parse_nvme_log(sample(f"nvme-log-{name}.json"))
    assert (state.done, state.failed, state.running) == (done, failed, name == "running")


def test_newer_nvme_cli_writes_the_state_as_a_number() -> None:
    assert parse_nvme_log('{"nvme0": {"sprog": 65535, "sstat": 257}}').done
    assert parse_nvme_log('{"sprog": 32768, "sstat": 2}').running


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"a":' * 9999, "SD0", '{"sstat": true}'])
def test_a_drive_that_says_nothing_has_not_ended_well(text: str) -> None:
    assert not parse_nvme_log(text).done
    assert not parse_sanitize_status(text).done
    assert not nvme_facts(NVME, text, True).told
    assert ata_facts(HDD, text).offers == {M.OVERWRITE}


@pytest.mark.parametrize(
    ("facts", "method"),
    [
        (ata("ssd", SSD), M.ATA_SANITIZE_BLOCK),
        (ata("hdd-sanitize"), M.ATA_SANITIZE_OVERWRITE),
        (nvme_facts(NVME, sample("nvme-all.json"), True), M.NVME_SANITIZE_CRYPTO),
        (nvme_facts(NVME, sample("nvme-block.json"), True), M.NVME_SANITIZE_BLOCK),
    ],
)
def test_a_purge_is_a_sanitize(facts: DriveFacts, method: WipeMethod) -> None:
    assert choose_method(facts, PURGE) is method
    assert choose_method(facts, CLEAR) is M.OVERWRITE


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (ata("plain"), "no sanitize command"),
        (ata("ssd-no-sanitize", SSD), "no sanitize command"),
        (nvme_facts(NVME, sample("nvme-format-crypto.json"), True), "no sanitize command"),
        (nvme_facts(NVME, sample("nvme-all.json"), False), "more than one disk"),
        (ata("ssd", SSD, sanitize="sanitize-frozen.txt"), "frozen"),
        (HDD, "does not tell"),
        (ata("locked"), "locked"),
        (ata("hdd-sanitize", dco="dco-hidden.txt"), "hides 1024000000 of its"),
    ],
)
def test_a_purge_that_cannot_be_had_is_refused_and_never_a_clear(
    facts: DriveFacts, said: str
) -> None:
    refusal = choose_method(facts, PURGE)
    assert isinstance(refusal, Refusal) and said in refusal.reason and refusal.hint
    for wanted in M:
        answer = choose_method(facts, PURGE, wanted)
        assert isinstance(answer, Refusal) or answer.level is PURGE


@pytest.mark.parametrize(
    ("name", "said"),
    [("frozen", "frozen"), ("password-set", "password that we do not know"), ("expired", "counter"),
     ("locked", "locked"), ("no-security", "does not offer")],
)  # fmt: skip
def test_a_security_erase_that_is_barred_says_why(name: str, said: str) -> None:
    refusal = choose_method(ata(name), CLEAR, M.ATA_SECURITY_ERASE)
    assert isinstance(refusal, Refusal) and said in refusal.reason


def test_a_frozen_drive_can_still_be_cleared_by_writing() -> None:
    assert choose_method(ata("frozen"), CLEAR) is M.OVERWRITE
    assert choose_method(ata("plain"), CLEAR, M.ATA_SECURITY_ERASE) is M.ATA_SECURITY_ERASE


@pytest.mark.parametrize("method", [method for method in M if method is not M.OVERWRITE])
def test_commands_name_one_drive_and_a_format_always_erases(method: WipeMethod) -> None:
    device = Path("/dev/nvme1n1" if method.startswith("nvme") else "/dev/sdb")
    commands = drive_erase.plan_commands(device, method)
    words = " ".join(commands[-1])
    assert all(any(word.startswith(("/dev/nvme1", "/dev/sdb")) for word in c) for c in commands)
    if "format" in method:
        assert "--ses=1" in words or "--ses=2" in words  # 0 erases nothing and says it did
    if "sanitize" in method and method.startswith("nvme"):
        assert words.split()[2] == "/dev/nvme1"
        assert words.split()[3] in ("--sanact=2", "--sanact=3", "--sanact=4")


def test_a_sanitize_counts_only_when_the_drive_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter([drive.SanitizeState(running=True, fraction=0.5), drive.SanitizeState(done=True)])
    monkeypatch.setattr(drive_erase, "POLL_S", 0)
    seen: list[int] = []
    assert drive_erase._wait(lambda: next(states), lambda done, _: seen.append(done))
    assert seen == [32768]
    assert not drive_erase._wait(drive.SanitizeState, lambda *_: None)
    with pytest.raises(DiskFaultError, match="failed"):
        drive_erase._wait(lambda: drive.SanitizeState(failed=True), lambda *_: None)


def test_what_samples_find() -> None:
    assert undetected_share(64, found_share(64)) == pytest.approx(0.05)
    assert found_share(1000) == pytest.approx(0.003, rel=0.01)
