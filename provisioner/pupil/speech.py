"""What the speech blocks say: espeak-ng in place of a service on the Internet.

`cmn-latn-pinyin` and not `cmn`: in Debian 12's espeak-ng the latter reads pinyin as English
letters.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from provisioner.errors import CommandError
from provisioner.run import run

MAX_TEXT = 400
TIMEOUT_S = 20
# The blocks' languages (by what they ask for) and espeak-ng's voices, tried in this order.
VOICES: dict[str, tuple[str, ...]] = {
    "cmn": ("cmn-latn-pinyin", "cmn"),
    "zh": ("cmn-latn-pinyin", "cmn"),
    "en": ("en-us", "en"),
    "pt": ("pt-br", "pt"),
    "nb": ("nb", "no"),
}
VARIANTS = {"female": "+f3", "male": "+m3"}


def voices_for(locale: str) -> tuple[str, ...]:
    """espeak-ng's voices for a language such as cmn-CN; English when it speaks none."""
    language = locale.lower().replace("_", "-").split("-")[0]
    known = VOICES.get(language, (language,) if language.isalpha() else ())
    return (*known, "en")


def speak(text: str, locale: str, gender: str) -> bytes:
    """The spoken text as a WAV file. Raises CommandError when no voice speaks."""
    failed: CommandError | None = None
    for voice in voices_for(locale):
        try:
            return _speak(text[:MAX_TEXT], f"{voice}{VARIANTS.get(gender, '')}")
        except CommandError as error:
            failed = failed or error
    assert failed is not None
    raise failed


def _speak(text: str, voice: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        wav = Path(folder) / "said.wav"
        # --stdin: a text can then never be taken for an option.
        run(["espeak-ng", "-v", voice, "--stdin", "-w", wav], stdin=text, timeout_s=TIMEOUT_S)
        if not wav.exists() or wav.stat().st_size <= 44:  # a WAV's header alone
            raise CommandError(f"espeak-ng said nothing with the voice {voice}.")
        return wav.read_bytes()
