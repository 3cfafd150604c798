"""Our packs in the programs that serve them at a school: kiwix-serve and Kolibri."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from provisioner.education.lessons import build_packs
from provisioner.education.packs import Pack
from provisioner.education.zim import SERVE_ENVIRONMENT
from provisioner.lab.network import LabNetwork
from provisioner.release.cache import Cache
from provisioner.settings import Settings

pytestmark = pytest.mark.integration
LESSONS = Path(__file__).parents[2] / "images/packs/first-lessons"
KOLIBRI = "0.19.5"


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pack]:
    made = build_packs(LESSONS, tmp_path_factory.mktemp("packs"))
    return {pack.text.kind.value: pack for pack in made}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return str(answer.read().decode("utf-8", "replace"))


@contextmanager
def serving(command: list[str], look: Callable[[], str], log: Path, **environment: str
            ) -> Iterator[str]:  # fmt: skip
    """Run a server until it answers, and end it afterwards; what its first page says."""
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out,
                                  env={**os.environ, **environment})  # fmt: skip
    try:
        until = time.monotonic() + 900
        while True:
            try:
                page = look()
                break
            except OSError:
                assert time.monotonic() < until and server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.3)
        yield page
    finally:
        server.terminate()
        server.wait(300)


def test_kiwix_serves_the_lessons_and_finds_chinese_words(
    packs: dict[str, Pack], tmp_path: Path
) -> None:
    if shutil.which("kiwix-serve") is None:
        pytest.fail("kiwix-serve is not installed: see tests/packages.txt")
    book, port = packs["zim"].folder / "content/first-lessons.zim", free_port()
    at = f"http://127.0.0.1:{port}"
    command = ["kiwix-serve", "--address=127.0.0.1", f"--port={port}", str(book)]
    with serving(command, lambda: fetch(f"{at}/catalog/v2/entries"), tmp_path / "log",
                 **SERVE_ENVIRONMENT) as entries:  # fmt: skip
        assert "积木编程第一课到第三课" in entries
        for word, page in (("随机数", "catch"), ("广播", "story"), ("正方形", "paper-plane")):
            query = urllib.parse.urlencode({"content": "first-lessons", "pattern": word})
            found = fetch(f"{at}/search?{query}")
            assert f"zh/{page}.html" in found, word
        # The form of a page's address differs by kiwix-serve's version: follow the search's.
        address = re.search(r'href="([^"]*/zh/paper-plane\.html)"', found)
        assert address is not None
        assert "纸飞机" in fetch(at + address[1])


@pytest.fixture(scope="module")
def kolibri() -> Path:
    """Kolibri from PyPI, kept outside the tree."""
    cache = Cache(Settings().cache_dir / "education")

    def make(out: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", out,
             f"kolibri=={KOLIBRI}"], check=True, timeout=1800,
        )  # fmt: skip

    with cache.locked():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return cache.entry("kolibri", f"{KOLIBRI}-{version}", make)


Offline = Callable[..., str]


@pytest.fixture
def school(kolibri: Path, tmp_path: Path) -> Offline:
    """Kolibri's commands for one new facility, in a namespace without a network."""
    said = {**os.environ, "PYTHONPATH": str(kolibri), "KOLIBRI_HOME": str(tmp_path / "home"),
            "LC_ALL": "C.UTF-8"}  # fmt: skip

    def manage(*words: str, **environment: str) -> str:
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
                   sys.executable, "-m", "kolibri", "manage", *words]  # fmt: skip
        done = subprocess.run(command, env={**said, **environment}, text=True, timeout=900,
                              capture_output=True)  # fmt: skip
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
        return done.stdout

    manage("provisiondevice", "--facility", "测试小学", "--preset", "formal", "--superusername",
           "admin", "--superuserpassword", os.urandom(6).hex(), "--language_id", "zh-hans",
           "--noinput")  # fmt: skip
    return manage


def check_lessons(manage: Offline, **environment: str) -> None:
    """All six lessons are in Kolibri's own tables, open to pupils, under their licence."""
    ask = (
        "import json; from kolibri.core.content.models import ContentNode as N; "
        "print(json.dumps([[n.title, n.kind, n.available, n.license_description] "
        "for n in N.objects.order_by('lft')]))"
    )
    listed = json.loads(manage("shell", "-c", ask, **environment).splitlines()[-1])
    assert [row[1] for row in listed].count("html5") == 6
    assert all(row[2] for row in listed), "everything can be opened"
    assert "第三课：接香蕉游戏" in [row[0] for row in listed]
    assert {row[3] for row in listed if row[1] == "html5"} == {"CC-BY-SA-4.0"}


@pytest.mark.long
def test_kolibris_own_importer_takes_the_channel_offline(
    packs: dict[str, Pack], school: Offline, tmp_path: Path
) -> None:
    folder = packs["kolibri"].folder
    channel = next((folder / "content/databases").iterdir()).stem
    school("importchannel", "disk", channel, str(folder))
    school("importcontent", "disk", channel, str(folder))
    check_lessons(school)
    stored = {path.name for path in (tmp_path / "home/content/storage").rglob("*.zip")}
    assert stored == {path.name for path in (folder / "content/storage").rglob("*.zip")}


@pytest.mark.long
def test_kolibri_reads_the_pack_where_it_lies(
    packs: dict[str, Pack], school: Offline, tmp_path: Path
) -> None:
    """As in an image: the content stays in the read-only pack, only progress is written."""
    lies = {"KOLIBRI_CONTENT_FALLBACK_DIRS": str(packs["kolibri"].folder / "content")}
    school("scanforcontent", **lies)
    check_lessons(school, **lies)
    assert not list((tmp_path / "home/content").rglob("*.zip"))


TEACHER, PUPIL = "10.77.0.1", IPv4Interface("10.77.0.9/24")
PORT, ZIP_PORT = 8605, 8606
FETCH = (
    "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=120).read().decode())"
)


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
def test_a_pupils_machine_opens_lessons_in_the_teachers_kolibri(
    packs: dict[str, Pack], kolibri: Path, school: Offline, tmp_path: Path
) -> None:
    """Over a wire between two namespaces, with no other network; the pack is read where it lies."""
    content = packs["kolibri"].folder / "content"
    lies = {"KOLIBRI_CONTENT_FALLBACK_DIRS": str(content)}
    school("scanforcontent", **lies)
    channel = next((content / "databases").iterdir()).stem
    lessons = sorted(path.name for path in (content / "storage").rglob("*.zip"))
    with LabNetwork() as room, room.neighbour("pupil", PUPIL) as pupil:

        def fetch_there(path: str, port: int = PORT) -> str:
            address = f"http://{TEACHER}:{port}/{path}"
            done = subprocess.run([*pupil, sys.executable, "-c", FETCH, address], text=True,
                                  capture_output=True, timeout=300)  # fmt: skip
            if done.returncode:
                raise OSError(done.stderr[-500:])
            return done.stdout

        command = [*room.exec_prefix, sys.executable, "-m", "kolibri", "start", "--foreground"]
        said = {**lies, "PYTHONPATH": str(kolibri), "KOLIBRI_HOME": str(tmp_path / "home"),
                "KOLIBRI_LISTEN_ADDRESS": TEACHER, "KOLIBRI_HTTP_PORT": str(PORT),
                "KOLIBRI_ZIP_CONTENT_PORT": str(ZIP_PORT), "LC_ALL": "C.UTF-8"}  # fmt: skip
        look = partial(fetch_there, "api/public/v1/channels/")
        with serving(command, look, tmp_path / "log", **said) as channels:
            assert channel in {entry["id"] for entry in json.loads(channels)}
            texts = [
                fetch_there(f"content/zipcontent/{name}/index.html", ZIP_PORT) for name in lessons
            ]
        assert sum("接香蕉" in text for text in texts) >= 1
        assert all("<h1" in text for text in texts)
