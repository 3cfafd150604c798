"""When a machine may start again: outside the school's hours, announced, and never over a no.

The announcement is a small file that the desktop shows; the teacher's answer is a file as well,
in a folder where everybody may put one. Three times no is heard, then the evening decides.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from provisioner.agent.words import RENEWAL_NOTICE
from provisioner.model.renewal import When
from provisioner.model.site import SITE_FILE, Site

log = logging.getLogger(__name__)

LOOK_EVERY_S = 20.0
NOTICE_S = 600.0  # from the announcement to the start
POSTPONE_S = 3 * 3600.0
MAX_POSTPONED = 3
NOTICE, WISHES, POSTPONE = "notice.json", "wishes", "postpone"


def read_site(root: Path = Path("/")) -> Site:
    """The school's public part; what most schools want where there is none or it is damaged."""
    path = root / SITE_FILE
    try:
        return Site.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Site()
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be used, the defaults hold: %s", path, error)
        return Site()


@dataclass
class Patience:
    """Waits for the right moment. `folder` is /run/classroom."""

    folder: Path
    site: Callable[[], Site] = read_site
    now: Callable[[], datetime] = datetime.now
    sleep: Callable[[float], None] = time.sleep
    notice_s: float = NOTICE_S

    def wait(self, when: When) -> bool:
        """Returns when the machine may start again: true for at once, false for whenever somebody
        switches it off and on, because it does not know the hour."""
        postponed = 0
        self._open_wishes()
        while True:
            self.until_quiet(when)
            if when is When.QUIET and not self.site().knows_the_hour(self.now()):
                return False
            if self._announced() or postponed >= MAX_POSTPONED:
                (self.folder / NOTICE).unlink(missing_ok=True)
                return True
            postponed += 1
            log.info("The renewal was postponed at the machine (%d)", postponed)
            (self.folder / NOTICE).unlink(missing_ok=True)
            self.sleep(POSTPONE_S)
            when = When.QUIET  # to the evening, also when it was to be at once

    def until_quiet(self, when: When) -> None:
        """Wait as long as the school is open and that counts."""
        while when is When.QUIET and self._is_busy():
            self.sleep(LOOK_EVERY_S)

    def _is_busy(self) -> bool:
        site, now = self.site(), self.now()
        return site.knows_the_hour(now) and site.is_open(now)

    def _announced(self) -> bool:
        """Say what will happen, and hear whether somebody says no."""
        text = {"en": RENEWAL_NOTICE.en, "zh": RENEWAL_NOTICE.zh, "seconds": self.notice_s}
        (self.folder / NOTICE).write_text(json.dumps(text, ensure_ascii=False))
        left = self.notice_s
        while left > 0:
            if self._refused():
                return False
            pause = min(left, LOOK_EVERY_S)
            self.sleep(pause)
            left -= pause
        return not self._refused()

    def _refused(self) -> bool:
        wish = self.folder / WISHES / POSTPONE
        if not wish.exists():
            return False
        wish.unlink(missing_ok=True)
        return True

    def _open_wishes(self) -> None:
        wishes = self.folder / WISHES
        wishes.mkdir(parents=True, exist_ok=True)
        wishes.chmod(0o1733)
        (wishes / POSTPONE).unlink(missing_ok=True)
