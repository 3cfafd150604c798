"""Lessons of our own become packs: web pages, a Kolibri channel and a ZIM from the same texts.

LESSONS/lessons.yml         titles, licence                     model.pack.LessonsText
LESSONS/{zh,en}/ID.html     the text of one lesson: the body of a page
LESSONS/style.css, pictures/  what pages load; all of it our own
"""

from __future__ import annotations

import html
import io
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from provisioner import yaml_file
from provisioner.education import kolibri, zim
from provisioner.education.packs import CONTENT, TEXT, Pack, PackError, seal
from provisioner.errors import ConfigError
from provisioner.model.pack import Lesson, LessonsText, PackKind

TEXTS = "lessons.yml"
STYLE = "style.css"
PICTURES = "pictures"
LANGUAGES = {"zh": ("zh-CN", "zho"), "en": ("en", "eng")}
MIMES = {".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}
DATE = "2026-01-01"  # a ZIM carries one; a fixed one keeps its bytes the same
KINDS = (PackKind.WEB, PackKind.KOLIBRI, PackKind.ZIM)
_PICTURE = re.compile(r'src="\.\./(pictures/[^"]+)"')
WORDS = {
    "zh": {"other": "English", "home": "目录", "next": "下一课", "licence": "许可"},
    "en": {"other": "中文", "home": "Contents", "next": "Next lesson", "licence": "Licence"},
}


@dataclass(frozen=True)
class Lessons:
    """A folder of lessons that was read: its list, and pages by path."""

    text: LessonsText
    folder: Path
    pages: dict[str, bytes]
    titles: dict[str, str]


def read_lessons(folder: Path) -> Lessons:
    """The lessons and everything that their pages load. Raises ConfigError."""
    text = yaml_file.load(folder / TEXTS, LessonsText)
    pages = {STYLE: (folder / STYLE).read_bytes()}
    for picture in sorted((folder / PICTURES).glob("*")):
        pages[f"{PICTURES}/{picture.name}"] = picture.read_bytes()
    titles: dict[str, str] = {}
    for language in LANGUAGES:
        for number, lesson in enumerate(text.lessons):
            path = folder / language / f"{lesson.id}.html"
            if not path.is_file():
                raise ConfigError(f"The lesson “{lesson.id}” has no text in {language}.",
                                  f"Write {language}/{lesson.id}.html.", file=folder)  # fmt: skip
            name = f"{language}/{lesson.id}.html"
            titles[name] = _title(lesson, language)
            after = text.lessons[number + 1] if number + 1 < len(text.lessons) else None
            pages[name] = _page(text, language, lesson, after, path.read_text(encoding="utf-8"))
        pages[f"{language}/index.html"] = _contents(text, language)
        titles[f"{language}/index.html"] = getattr(text.title, language)
    pages["index.html"] = _contents(text, "zh", top=True)
    titles["index.html"] = text.title.zh
    return Lessons(text, folder, pages, titles)


def build_packs(folder: Path, into: Path) -> list[Pack]:
    """One sealed pack of each kind, `into`/NAME-KIND/. Raises PackError, ConfigError."""
    lessons = read_lessons(folder)
    packs = []
    for kind in KINDS:
        target = into / f"{lessons.text.name}-{kind}"
        if target.exists():
            raise PackError(f"{target} exists already.", "Remove it, or name another folder.")
        content = target / CONTENT
        content.mkdir(parents=True)
        try:
            _write(lessons, kind, content)
            _write_text(lessons.text, kind, target)
            packs.append(seal(target))
        except BaseException:
            shutil.rmtree(target)
            raise
    return packs


def _write(lessons: Lessons, kind: PackKind, content: Path) -> None:
    if kind is PackKind.WEB:
        for name, page in lessons.pages.items():
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).write_bytes(page)
    elif kind is PackKind.KOLIBRI:
        kolibri.write_channel(as_channel(lessons), content)
    else:
        write_zim(lessons, content / f"{lessons.text.name}.zim")


def _write_text(text: LessonsText, kind: PackKind, target: Path) -> None:
    described = {
        "name": f"{text.name}-{kind}", "version": text.version, "kind": kind.value,
        "title": text.title.model_dump(), "summary": text.summary.model_dump(),
        "licence": text.licence, "credit": text.credit, "source": text.source,
        "languages": [tag for tag, _ in LANGUAGES.values()],
    }  # fmt: skip
    (target / TEXT).write_text(yaml_file.dump(described), encoding="utf-8")


def as_channel(lessons: Lessons) -> kolibri.Channel:
    """The lessons as a channel: one topic a language, one HTML5 application a lesson."""
    text = lessons.text
    topics = []
    for language, (tag, _) in LANGUAGES.items():
        nodes = tuple(
            kolibri.Node(
                lesson.id, _title(lesson, language), getattr(lesson.summary, language), tag,
                files=_application(lessons, language, lesson),
            )
            for lesson in text.lessons
        )  # fmt: skip
        name = kolibri.LANGUAGES[tag][2]
        topics.append(kolibri.Node(language, name, getattr(text.summary, language), tag,
                                   children=nodes))  # fmt: skip
    version = int(re.sub(r"\D.*", "", text.version) or 1)
    return kolibri.Channel(text.name, f"{text.title.zh} · {text.title.en}", text.summary.zh,
                           version, text.licence, text.credit, topics)  # fmt: skip


def write_zim(lessons: Lessons, path: Path) -> None:
    """The same pages as a ZIM with a Chinese full-text index."""
    pages = [
        zim.ZimPage(name, lessons.titles.get(name, ""), page,
                    MIMES.get(Path(name).suffix, "text/html"))
        for name, page in lessons.pages.items()
    ]  # fmt: skip
    text = lessons.text
    # One language although English is in it too: kiwix-serve 3.7 (Debian 13) refuses to search a
    # book that names two.
    metadata = {
        "Title": text.title.zh[:30], "Description": text.summary.zh[:80], "Language": "zho",
        "Tags": "_ftindex:yes;_pictures:yes;_videos:no;_details:yes",
        "Creator": text.credit, "Publisher": "Classroom Provisioner", "Date": DATE,
        "License": text.licence, "Name": text.name, "Source": text.source,
    }  # fmt: skip
    zim.write_zim(path, pages, metadata, "index.html", _picture())


def _picture() -> bytes:
    """Two blocks that fit together, 48 × 48 pixels."""
    image = Image.new("RGB", (48, 48), "#1b6ca8")
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 11, 39, 21), fill="#ffd166")
    draw.rectangle((8, 25, 39, 35), fill="#06d6a0")
    draw.rectangle((14, 21, 21, 23), fill="#ffd166")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _application(lessons: Lessons, language: str, lesson: Lesson) -> dict[str, bytes]:
    """One lesson on its own: what its page loads, with paths from the top."""
    page = lessons.pages[f"{language}/{lesson.id}.html"].decode()
    page = re.sub(r"<nav>.*?</nav>", "", page, flags=re.DOTALL)
    pictures = _PICTURE.findall(page)
    page = page.replace('"../', '"')
    return {
        "index.html": page.encode(), STYLE: lessons.pages[STYLE],
        **{name: lessons.pages[name] for name in pictures},
    }  # fmt: skip


def _title(lesson: Lesson, language: str) -> str:
    return str(getattr(lesson.title, language))


def _page(
    text: LessonsText, language: str, lesson: Lesson, after: Lesson | None, body: str
) -> bytes:  # fmt: skip
    other = "en" if language == "zh" else "zh"
    words = WORDS[language]
    links = [f'<a href="index.html">{words["home"]}</a>',
             f'<a href="../{other}/{lesson.id}.html">{words["other"]}</a>']  # fmt: skip
    if after is not None:
        links.append(f'<a href="{after.id}.html">{words["next"]} →</a>')
    heading = f"<h1>{html.escape(_title(lesson, language))}</h1>\n{body}"
    return _frame(text, language, _title(lesson, language), links, heading)


def _contents(text: LessonsText, language: str, *, top: bool = False) -> bytes:
    """The list of lessons; `top` for the page that stands above the languages' folders."""
    other = "en" if language == "zh" else "zh"
    here = f"{language}/" if top else ""
    rows = "".join(
        f'<li><a href="{here}{lesson.id}.html">{html.escape(_title(lesson, language))}</a><br>'
        f"{html.escape(getattr(lesson.summary, language))}</li>\n"
        for lesson in text.lessons
    )
    title = getattr(text.title, language)
    body = (f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(getattr(text.summary, language))}"
            f"</p>\n<ol class=contents>\n{rows}</ol>")  # fmt: skip
    up = "" if top else "../"
    links = [f'<a href="{up}{other}/index.html">{WORDS[language]["other"]}</a>']
    return _frame(text, language, title, links, body, up)


def _frame(
    text: LessonsText, language: str, title: str, links: list[str], body: str, up: str = "../"
) -> bytes:  # fmt: skip
    tag = LANGUAGES[language][0]
    licence = f"{WORDS[language]['licence']}: {text.licence} · {html.escape(text.credit)}"
    return (
        f'<!doctype html>\n<html lang="{tag}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n"
        f'<link rel="stylesheet" href="{up}style.css">\n</head>\n<body>\n'
        f"<nav>{' · '.join(links)}</nav>\n<main>\n{body}\n</main>\n"
        f"<footer>{licence}</footer>\n</body>\n</html>\n"
    ).encode()
