"""The configuration that a machine keeps: what it takes, what it refuses, and applying it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent import local_play, site_apply, site_keep
from provisioner.agent.shelf import Shelf
from provisioner.agent.surroundings import Home
from provisioner.errors import ProofMissingError, UntrustedError
from provisioner.model.signed import PrivateKey
from provisioner.model.site_bundle import FOLDER, file_name, pack_site
from provisioner.model.wire import Surroundings
from provisioner.run import Finished

STATION = PrivateKey.generate()
HOME = Home(Surroundings.INSTALLED, "http://192.0.2.1:8080", STATION.public,
            PrivateKey.generate(), asset_tag="PC-0001")  # fmt: skip
RECAP = "PLAY RECAP ***\nPC-0001 : ok=12  changed={}  unreachable=0  failed={}  skipped=1\n"


def sealed(number: int = 5, revision: str = "a", machine: str = "PC-0001",
           station: PrivateKey = STATION, key: PrivateKey = HOME.key) -> bytes:  # fmt: skip
    bundle = pack_site(
        {"playbooks/site.yml": b"x", "inventory/hosts.json": b"{}"}, school="high-pasture",
        machine=machine, number=number, revision=revision * 64, machine_key=key.public,
    )  # fmt: skip
    return station.seal(bundle).encode()


def test_a_bundle_is_kept_closed_and_opened_in_one_place_only(tmp_path: Path) -> None:
    site_keep.take(sealed(), tmp_path, HOME)
    assert site_keep.revision_here(tmp_path) == "a" * 64
    bundle = site_keep.kept(tmp_path, HOME)
    assert bundle is not None
    with site_keep.opened(bundle, HOME, tmp_path / "open") as site:
        assert (site / "playbooks/site.yml").read_bytes() == b"x"
        assert site.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "open").exists()


@pytest.mark.parametrize(
    "envelope",
    [sealed(machine="PC-0002"), sealed(station=PrivateKey.generate()),
     sealed(key=PrivateKey.generate()), sealed(number=4), sealed()[:200]],
    ids=["another machine's", "another station's", "for another key", "older", "cut"],
)  # fmt: skip
def test_what_is_not_for_this_machine_now_changes_nothing(envelope: bytes, tmp_path: Path) -> None:
    site_keep.take(sealed(), tmp_path, HOME)
    with pytest.raises(UntrustedError):
        site_keep.take(envelope, tmp_path, HOME)
    assert site_keep.revision_here(tmp_path) == "a" * 64
    assert site_keep.kept(tmp_path, HOME) is not None


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Shelf]:
    folder = tmp_path / "stick"
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / file_name("PC-0001")).write_bytes(sealed(revision="b"))
    with Shelf(folder) as shelf:
        yield shelf


def test_it_comes_from_a_stick_as_from_the_station(stick: Shelf, tmp_path: Path) -> None:
    assert site_keep.fetch(stick.url, tmp_path, HOME, lambda _error, _pause: None)
    assert site_keep.revision_here(tmp_path) == "b" * 64


def test_what_is_here_already_is_not_fetched_again(stick: Shelf, tmp_path: Path) -> None:
    site_keep.take(sealed(revision="b"), tmp_path, HOME)
    folder = tmp_path / "stick" / FOLDER
    (folder / "PC-0001.revision").write_text("b" * 64 + "\n")
    (folder / file_name("PC-0001")).write_bytes(b"would be refused")
    assert site_keep.fetch(stick.url, tmp_path, HOME, lambda _error, _pause: None)


def test_a_station_that_has_nothing_is_asked_again_soon(tmp_path: Path) -> None:
    with Shelf(tmp_path) as nothing:
        home = Home(HOME.kind, nothing.url, HOME.station_key, HOME.key, asset_tag="PC-0001")
        keeper = site_keep.Keeper(home, tmp_path)
        assert keeper.turn() == site_keep.SOON_S
        site_keep.take(sealed(), tmp_path, HOME)
    assert keeper.turn() == site_keep.SELDOM_S  # it is silent now, and there is one


class Ansible:
    """Says what the test wants, one run after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *said: Finished) -> None:
        self.said, self.seen = list(said), list[bool]()
        monkeypatch.setattr(local_play, "run", self.run)
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")

    def run(self, words: list[object], **_: object) -> Finished:
        assert words[0] == "ansible-playbook"
        self.seen.append(Path(str(words[-1])).is_file())
        return self.said.pop(0)


def done(changed: int = 0, failed: int = 0, code: int = 0, text: str = "") -> Finished:
    return Finished((), code, text + RECAP.format(changed, failed), "")


def apply(tmp_path: Path, wanted: str = "") -> str:
    return site_apply.apply_site(HOME, tmp_path, wanted, tmp_path / "open")


def test_two_runs_the_second_of_which_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_keep.take(sealed(), tmp_path, HOME)
    ansible = Ansible(monkeypatch, done(changed=7), done())
    assert apply(tmp_path, "a" * 64) == "a" * 64
    assert ansible.seen == [True, True]
    assert not (tmp_path / "open").exists()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((done(changed=7), done(changed=1)), "second run"),
        ((done(failed=1, code=2, text="TASK [a : Make it] ***\nfatal: [PC-0001]: FAILED! => x\n"),),
         "a : Make it"),
        ((done(code=4),), "could not be applied"),
        ((Finished((), 0, "nothing", ""),), "could not be applied"),
        ((Finished((), 0, RECAP.format(0, 0) * 2, ""),), "could not be applied"),
        ((Finished((), 0, RECAP.format(0, 0).replace("ok=12", "ok=0"), ""),), "could not be"),
    ],
)  # fmt: skip
def test_an_exit_code_is_never_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: tuple[Finished, ...], why: str
) -> None:
    site_keep.take(sealed(), tmp_path, HOME)
    Ansible(monkeypatch, *said)
    with pytest.raises(ProofMissingError, match=why):
        apply(tmp_path)


def test_another_configuration_than_the_ordered_one_is_not_applied(tmp_path: Path) -> None:
    assert apply(tmp_path) == ""  # nothing is kept, nothing was ordered
    with pytest.raises(ProofMissingError, match="does not have"):
        apply(tmp_path, "b" * 64)
    site_keep.take(sealed(), tmp_path, HOME)
    with pytest.raises(ProofMissingError, match="does not have"):
        apply(tmp_path, "b" * 64)


def test_a_system_without_ansible_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_keep.take(sealed(), tmp_path, HOME)
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(ProofMissingError, match="no Ansible"):
        apply(tmp_path)
