"""A machine configures itself from the bundle that it keeps: no station, no secret in the open.

A real trixie with systemd and Debian's own Ansible; the agent's own code runs there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.fleet.inventory import StationFacts
from provisioner.fleet.site_files import site_files
from provisioner.fleet.vault import read_secrets
from provisioner.model.signed import PrivateKey
from provisioner.model.site_bundle import pack_site
from provisioner.run import run
from tests.integration.room import PLAYBOOKS, ROOT, Bench, Room, failed

pytestmark = pytest.mark.integration
STATION, MACHINE = PrivateKey.generate(), PrivateKey.generate()
REVISION = "a" * 64
STATE = "/run/classroom/state"
CODE = "/run/agent-code"
APPLY = f"""\
import json, sys, time
from pathlib import Path
from provisioner.agent import site_apply, site_keep
from provisioner.agent.surroundings import Home
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings
home = Home(Surroundings.INSTALLED, "http://192.0.2.1", "{STATION.public}",
            PrivateKey.from_hex("{MACHINE.to_hex()}"), asset_tag="PC-0001")
state = Path("{STATE}")
site_keep.take(sys.stdin.buffer.read(), state, home)
began = time.monotonic()
held = site_apply.apply_site(home, state, "{REVISION}")
left = [str(path) for path in Path("/run/classroom/site").rglob("*")]
print(json.dumps({{"held": held, "left": left, "seconds": time.monotonic() - began}}))
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench("new-shoots", tmp_path_factory.mktemp("bench"))
    made.start()
    yield made
    made.stop()


def envelope(room: Room) -> bytes:
    files = site_files(
        room.school, room.machine, PLAYBOOKS, read_secrets(room.vault),
        StationFacts(time_servers=(room.target.station,)),
    )  # fmt: skip
    bundle = pack_site(
        files, school=room.school.id, machine="PC-0001", number=1, revision=REVISION,
        machine_key=MACHINE.public,
    )  # fmt: skip
    return STATION.seal(bundle).encode()


def on_the_machine(room: Room, command: str, stdin: str = "") -> str:
    target = room.target
    words = ["ssh", "-F", "none", "-i", str(target.ssh_key), "-o",
             f"UserKnownHostsFile={target.known_hosts}", f"root@{target.address}"]  # fmt: skip
    return run([*words, command], timeout_s=900, stdin=stdin).stdout


def bring_the_agent(room: Room, folder: Path) -> None:
    """Its code, as one file of text through SSH."""
    archive = folder / "code.tar.b64"
    run(["sh", "-c", f"tar -C {ROOT} --exclude=__pycache__ --exclude=web -c provisioner/__init__.py"
         " provisioner/agent provisioner/model provisioner/swarm provisioner/release"
         f" provisioner/*.py | base64 > {archive}"], timeout_s=60)  # fmt: skip
    unpack = f"mkdir -p {CODE} && base64 -d | tar -x -C {CODE}"
    on_the_machine(room, unpack, archive.read_text())


def test_the_bundle_alone_makes_it_what_the_school_was_promised(
    bench: Bench, tmp_path: Path
) -> None:
    room = bench.room
    bring_the_agent(room, tmp_path)
    place = f"{CODE}/apply.py"
    on_the_machine(room, f"cat > {place}", APPLY)
    said = on_the_machine(room, f"PYTHONPATH={CODE} python3 {place}", envelope(room).decode())
    found = json.loads(said.splitlines()[-1])
    assert found["held"] == REVISION
    assert found["left"] == []
    assert failed(room.verify(tmp_path / "verify")) <= {"clock"}


def test_no_password_of_the_school_is_anywhere_on_the_disk(bench: Bench) -> None:
    """The whole disk, searched byte for byte."""
    secrets = read_secrets(bench.vault).account_passwords.values()
    bench.stop()
    disk = b"".join(path.read_bytes() for path in bench.disk.rglob("*.ext4"))
    assert b"classroom" in disk
    assert not [s for s in secrets if s.get_secret_value().encode() in disk]
