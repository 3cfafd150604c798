"""The loopback server: who is answered, and what never leaves the folders."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.pupil import speech
from provisioner.pupil.server import KEY_HEADER, Application, Places, Server
from provisioner.pupil.works import Works
from tests import blocks_factory

ASSET = "0123456789abcdef0123456789abcdef.svg"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    for name in ("editor", "page", "library", "brought", "notices"):
        (tmp_path / name).mkdir()
    (tmp_path / "page/index.html").write_text("<p>page</p>")
    (tmp_path / "editor/a.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "library" / ASSET).write_text("<svg/>")
    entry = {"name": "here", "md5ext": ASSET}
    gone = {"name": "gone", "md5ext": ASSET.replace("0", "1")}
    (tmp_path / "library.json").write_text(json.dumps({"costumes": [entry, gone]}))
    places = Places(tmp_path / "editor", tmp_path / "page",
                    (tmp_path / "library", tmp_path / "brought"),
                    (tmp_path / "library.json",), tmp_path / "notices")  # fmt: skip
    made = Application(places, Works(tmp_path / "作品", tmp_path / "state"))
    with Server(made, range(0, 1)) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        server.shutdown()


def ask(
    app: Application, method: str, path: str, body: bytes | None = None, key: bool = True,
    **headers: str,
) -> tuple[int, bytes, dict[str, str]]:  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=10)
    sent = {**({KEY_HEADER: app.key} if key else {}), **headers}
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data, dict(answer.getheaders())


def said(answer: tuple[int, bytes, dict[str, str]]) -> Any:
    return json.loads(answer[1])


def test_a_work_is_made_saved_and_read_back(app: Application, tmp_path: Path) -> None:
    data = blocks_factory.make_project("scratch-2021", tmp_path / "a.sb3").read_bytes()
    made = said(ask(app, "POST", "/works", json.dumps({"title": "球"}).encode()))
    status, _, _ = ask(app, "PUT", f"/works/{made['id']}", data)
    assert status == 200
    assert (tmp_path / "作品/球.sb3").read_bytes() == data
    assert ask(app, "GET", f"/projects/{made['id']}")[1] == data
    renamed = said(ask(app, "POST", "/rename", json.dumps(
        {"id": made["id"], "title": "新"}).encode()))  # fmt: skip
    assert renamed["title"] == "新"
    assert (tmp_path / "作品/新.sb3").exists()


def test_without_the_key_nothing_is_read_or_written(app: Application, tmp_path: Path) -> None:
    for method, path in (("POST", "/works"), ("POST", "/open"), ("GET", "/session.json"),
                         ("PUT", f"/works/{'0' * 24}"), ("POST", "/closed")):  # fmt: skip
        status, body, _ = ask(app, method, path, b"{}", key=False)
        assert status == 400, (method, path)
        assert b"key" in body
    assert not list((tmp_path / "作品").iterdir())


def test_another_host_name_is_not_answered(app: Application) -> None:
    """A page elsewhere may let its name point to 127.0.0.1; it is not our page then."""
    assert ask(app, "GET", "/", Host="evil.example")[0] == 403
    assert ask(app, "GET", "/", Host=f"localhost:{app.port}")[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/..%2fsecret.txt", "/page/../../secret.txt", "/%2e%2e/secret.txt",
     "/page/%2e%2e%2fsecret.txt", "//etc/passwd", "/notices/../secret.txt",
     "/internalapi/asset/../secret.txt/get/"],
)  # fmt: skip
def test_nothing_outside_the_folders_is_given(app: Application, path: str) -> None:
    status, body, _ = ask(app, "GET", path)
    assert status == 404
    assert b"secret" not in body


def test_a_damaged_work_is_refused_with_its_kind(app: Application) -> None:
    made = said(ask(app, "POST", "/works", b'{"title": "x"}'))
    status, body, _ = ask(app, "PUT", f"/works/{made['id']}", b"PK nonsense")
    assert (status, json.loads(body)["kind"]) == (422, "damaged")


def test_a_message_that_breaks_off_writes_nothing(app: Application, tmp_path: Path) -> None:
    made = said(ask(app, "POST", "/works", b'{"title": "x"}'))
    with socket.create_connection(("127.0.0.1", app.port)) as raw:
        head = (f"PUT /works/{made['id']} HTTP/1.1", f"Host: 127.0.0.1:{app.port}",
                f"{KEY_HEADER}: {app.key}", "Content-Length: 999", "", "PK")  # fmt: skip
        raw.sendall("\r\n".join(head).encode())
        raw.shutdown(socket.SHUT_WR)
        assert b"broke off" in raw.recv(4096) + raw.recv(4096)
    assert not list((tmp_path / "作品").iterdir())


def test_assets_come_from_the_library_and_cannot_run_anything(
    app: Application, tmp_path: Path
) -> None:
    status, body, headers = ask(app, "GET", f"/internalapi/asset/{ASSET}/get/")
    assert (status, body) == (200, b"<svg/>")
    assert "sandbox" in headers["Content-Security-Policy"]
    other = ASSET.replace("0", "1")
    assert ask(app, "GET", f"/internalapi/asset/{other}/get/")[0] == 404
    (tmp_path / "brought" / other).write_text("<svg>2</svg>")
    assert ask(app, "GET", f"/internalapi/asset/{other}/get/")[0] == 200


def test_the_library_offers_what_is_there(app: Application, tmp_path: Path) -> None:
    text = ask(app, "GET", "/library.js")[1].decode()
    assert "here" in text and "gone" not in text
    (tmp_path / "brought" / ASSET.replace("0", "1")).write_text("<svg/>")
    assert "gone" in ask(app, "GET", "/library.js")[1].decode()


def test_the_page_may_reach_nothing_else(app: Application) -> None:
    policy = ask(app, "GET", "/")[2]["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy and "*" not in policy


def test_high_contrast_comes_with_the_page_unless_the_pupil_chose(app: Application) -> None:
    assert "Set-Cookie" not in ask(app, "GET", "/")[2]
    app.high_contrast = True
    assert "high-contrast" in ask(app, "GET", "/")[2]["Set-Cookie"]
    assert "Set-Cookie" not in ask(app, "GET", "/", Cookie="scratchtheme=default")[2]


def test_speech_goes_to_espeak(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def speak(text: str, locale: str, gender: str) -> bytes:
        asked.append((text, locale, gender))
        return b"RIFF"

    monkeypatch.setattr(speech, "speak", speak)
    status, body, headers = ask(app, "GET", "/synth?locale=cmn-CN&gender=female&text=%E4%BD%A0")
    assert (status, body, headers["Content-Type"]) == (200, b"RIFF", "audio/wav")
    assert asked == [("你", "cmn-CN", "female")]


@pytest.mark.parametrize(
    ("locale", "first"),
    [("cmn-CN", "cmn-latn-pinyin"), ("zh-TW", "cmn-latn-pinyin"), ("en-US", "en-us"),
     ("ja-JP", "ja"), ("--x", "en"), ("", "en")],
)  # fmt: skip
def test_each_language_has_a_voice(locale: str, first: str) -> None:
    assert speech.voices_for(locale)[0] == first
