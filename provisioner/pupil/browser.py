"""How Chromium is started for the editor, and the policies that keep it silent.

Debian's Chromium reads policies from /etc/chromium/policies/managed/ (`POLICIES`) and switches
from /etc/chromium.d/ (`SILENCE`); both are written there when the application is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PROGRAM = "chromium"
WINDOW_CLASS = "classroom-blocks"
POLICIES: dict[str, object] = {
    "AlternateErrorPagesEnabled": False,
    "AutofillAddressEnabled": False,
    "AutofillCreditCardEnabled": False,
    "BackgroundModeEnabled": False,
    "BrowserNetworkTimeQueriesEnabled": False,
    "BrowserSignin": 0,
    "BuiltInDnsClientEnabled": False,
    "CommandLineFlagSecurityWarningsEnabled": False,  # else a grey bar about SILENCE, always
    "ComponentUpdatesEnabled": False,
    "DefaultBrowserSettingEnabled": False,
    "DefaultSearchProviderEnabled": False,
    "DnsOverHttpsMode": "off",
    "DomainReliabilityAllowed": False,
    "EnableMediaRouter": False,
    "MetricsReportingEnabled": False,
    "NetworkPredictionOptions": 2,
    "NTPCardsVisible": False,
    "PasswordManagerEnabled": False,
    "PromotionsEnabled": False,
    "QuicAllowed": False,
    "SafeBrowsingProtectionLevel": 0,
    "SearchSuggestEnabled": False,
    "SpellCheckServiceEnabled": False,
    "SyncDisabled": True,
    "TranslateEnabled": False,
    "UrlKeyedAnonymizedDataCollectionEnabled": False,
    "UserFeedbackAllowed": False,
    "WebRtcEventLogCollectionAllowed": False,
}
# What no policy stops: a Chromium without these asked two servers on every start, seen in its own
# network log. Port 9 is one that Chromium refuses to connect to. For every window of the image.
SILENCE = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--component-updater=url-source=http://127.0.0.1:9/",
    "--gaia-url=http://127.0.0.1:9/",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-quic",
    "--disable-sync",
)
SWITCHES = (
    *SILENCE,
    # Without a usable GPU there is no WebGL, hence no stage, unless software may draw it. The
    # switch only allows that: where a GPU works, it is used. Our window shows local pages only.
    "--enable-unsafe-swiftshader",
    "--disable-extensions",
    "--disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication",
    # No name but our own server's address is ever looked up from this window.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--hide-crash-restore-bubble",  # after a power cut the work itself comes back
    "--password-store=basic",  # no question for a keyring's password
    "--start-maximized",  # the editor wants all of a screen of 1024 by 768
    "--autoplay-policy=no-user-gesture-required",  # sounds of the first green flag
    "--renderer-process-limit=1",
    f"--class={WINDOW_CLASS}",
)


def debian_flags() -> str:
    """A file for /etc/chromium.d, which Debian's Chromium reads on each start."""
    lines = [f'export CHROMIUM_FLAGS="$CHROMIUM_FLAGS {switch}"' for switch in SILENCE]
    return "# Nothing phones home from a classroom.\n" + "".join(f"{line}\n" for line in lines)


def command(address: str, profile: Path, environment: Mapping[str, str]) -> list[str]:
    """The whole command that opens `address` in a window of its own.

    CLASSROOM_SCALE enlarges everything for weak eyes; CLASSROOM_BLOCKS_SWITCHES adds switches,
    for tests.
    """
    words = [environment.get("CLASSROOM_BROWSER", PROGRAM), *SWITCHES,
             f"--user-data-dir={profile}", f"--lang={chromium_language(environment)}"]  # fmt: skip
    if scale := environment.get("CLASSROOM_SCALE", ""):
        words.append(f"--force-device-scale-factor={scale}")
    words += environment.get("CLASSROOM_BLOCKS_SWITCHES", "").split()
    return [*words, f"--app={address}"]


def editor_language(environment: Mapping[str, str]) -> str:
    """The editor's language: Chinese unless the session says English."""
    return "en" if _locale(environment).startswith("en") else "zh-cn"


def chromium_language(environment: Mapping[str, str]) -> str:
    """The same, as Chromium names it."""
    return {"en": "en-US"}.get(editor_language(environment), "zh-CN")


def forget_other_names(profile: Path) -> None:
    """Remove the locks of a Chromium that did not end by itself.

    They name the computer: after a renewal gives it another name, Chromium would refuse the
    profile. Call it only while holding the application's own lock.
    """
    for name in ("SingletonLock", "SingletonSocket", "SingletonCookie"):
        (profile / name).unlink(missing_ok=True)


def _locale(environment: Mapping[str, str]) -> str:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return environment[name]
    return ""
