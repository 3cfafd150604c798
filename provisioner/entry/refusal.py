"""Why an entry is not taken, each reason in a sentence that a child understands, in two languages.

`code` is for programs and tests; `{name}` in a sentence is a picture's, a sound's or a file's name
and was made printable before.
"""

from __future__ import annotations

from provisioner.errors import ConfigError
from provisioner.model.school import Bilingual

_AGAIN_EN = "Open it in the block editor, save it once more, and hand in that file."
_AGAIN_ZH = "请在积木编程软件里打开它，再保存一次，然后交新保存的文件。"

# code: (English, Chinese); the next step stands in the sentence itself.
SENTENCES: dict[str, tuple[str, str]] = {
    "empty": ("This file is empty. Save your game again and hand in that file.",
              "这个文件是空的。请重新保存你的作品再交。"),
    "too-big": ("This file is too big: at most {limit} MB. Use smaller pictures and sounds.",
                "这个文件太大了，最多 {limit} MB。请换小一点的图片、短一点的声音。"),
    "scratch-1": ("This game was made with Scratch 1. Open it in Scratch 3 and save it as .sb3.",
                  "这是用 Scratch 1 做的作品。请用 Scratch 3 打开它，另存为 .sb3 文件。"),
    "scratch-2": ("This game was made with Scratch 2. Open it in Scratch 3 and save it as .sb3.",
                  "这是用 Scratch 2 做的作品。请用 Scratch 3 打开它，另存为 .sb3 文件。"),
    "sprite": ("This is only one sprite, not the whole game. In the editor choose "
               "“Save to your computer” in the File menu.",
               "这只是一个角色，不是整个作品。请在编辑器的“文件”菜单里选“保存到电脑”。"),
    "not-a-game": ("This is not a Scratch game. Choose the file that ends in .sb3.",
                   "这不是 Scratch 作品。请选择以 .sb3 结尾的文件。"),
    "cut-off": (f"This file is not whole: a part of it is missing. {_AGAIN_EN}",
                f"这个文件不完整，缺了一部分。{_AGAIN_ZH}"),
    "damaged": (f"This file is damaged at “{{name}}”. {_AGAIN_EN}",
                f"这个文件的“{{name}}”坏了。{_AGAIN_ZH}"),
    "locked": (f"This file is locked with a password. {_AGAIN_EN}",
               f"这个文件加了密码。{_AGAIN_ZH}"),
    "too-many": (f"There are too many files in this game: at most {{limit}}. {_AGAIN_EN}",
                 f"这个作品里的文件太多了，最多 {{limit}} 个。{_AGAIN_ZH}"),
    "bomb": (f"This file would swell up far too much when it is opened. {_AGAIN_EN}",
             f"这个文件打开后会变得特别大，不能收。{_AGAIN_ZH}"),
    "path": (f"“{{name}}” inside this file has a name that no game has. {_AGAIN_EN}",
             f"文件里的“{{name}}”不是作品里会有的名字。{_AGAIN_ZH}"),
    "link": (f"“{{name}}” inside this file points somewhere else. {_AGAIN_EN}",
             f"文件里的“{{name}}”指向别的地方，不能收。{_AGAIN_ZH}"),
    "twice": (f"“{{name}}” stands in this file twice. {_AGAIN_EN}",
              f"文件里的“{{name}}”出现了两次。{_AGAIN_ZH}"),
    "wrong-case": (f"“{{name}}” inside this file is written with capital letters. {_AGAIN_EN}",
                   f"文件里的“{{name}}”大小写不对。{_AGAIN_ZH}"),
    "stranger": (f"“{{name}}” inside this file does not belong to a game. {_AGAIN_EN}",
                 f"文件里的“{{name}}”不属于作品。{_AGAIN_ZH}"),
    "packing": (f"“{{name}}” was packed in a way that Scratch does not use. {_AGAIN_EN}",
                f"文件里的“{{name}}”的压缩方式不是 Scratch 用的。{_AGAIN_ZH}"),
    "no-program": (f"The program is missing in this file. {_AGAIN_EN}",
                   f"这个文件里没有程序。{_AGAIN_ZH}"),
    "program-too-big": ("The program is too big: at most {limit} MB. Take out lists and scripts "
                        "that the game does not need.",
                        "程序太大了，最多 {limit} MB。请删掉用不到的列表和积木。"),
    "program-unreadable": (f"The program in this file cannot be read. {_AGAIN_EN}",
                           f"这个文件里的程序读不出来。{_AGAIN_ZH}"),
    "program-form": (f"Something in the program is not as Scratch writes it: {{name}}. {_AGAIN_EN}",
                     f"程序里有一处不是 Scratch 的写法：{{name}}。{_AGAIN_ZH}"),
    "asset-missing": ("The picture or sound “{name}” is missing. Open the game, look whether you "
                      "see and hear everything, and save it again.",
                      "少了图片或声音“{name}”。请打开作品，看看听听是不是都在，再保存一次。"),
    "asset-changed": ("The picture or sound “{name}” is damaged. Delete it in the game, add it "
                      "again, and save.",
                      "图片或声音“{name}”坏了。请在作品里删掉它，重新添加后保存。"),
    "asset-too-big": ("The picture or sound “{name}” is too big: at most {limit} MB. Use a "
                      "smaller one.",
                      "图片或声音“{name}”太大了，最多 {limit} MB。请换一个小一点的。"),
    "asset-kind": ("The picture or sound “{name}” is not what its name says. Delete it in the "
                   "game, add another one, and save.",
                   "图片或声音“{name}”的内容和名字不一样。请在作品里删掉它，换一个再保存。"),
    "asset-active": ("The picture “{name}” has a small program hidden in it. Delete it in the "
                     "game, draw or choose another one, and save.",
                     "图片“{name}”里藏着一段程序。请在作品里删掉它，自己画或换一张再保存。"),
}  # fmt: skip


class EntryRefusedError(ConfigError):
    """The bytes are no entry; `code` is a key of SENTENCES."""

    def __init__(self, code: str, name: str = "", limit: int = 0) -> None:
        english, chinese = SENTENCES[code]
        shown = printable(name)
        self.code = code
        self.words = Bilingual(
            en=english.format(name=shown, limit=limit)[:200],
            zh=chinese.format(name=shown, limit=limit)[:200],
        )
        super().__init__(self.words.en)


def printable(name: str, most: int = 40) -> str:
    """A name from a file, safe on any screen."""
    clean = "".join(sign if sign.isprintable() else "�" for sign in name)
    return clean if len(clean) <= most else clean[: most - 1] + "…"
