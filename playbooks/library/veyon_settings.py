#!/usr/bin/python3
"""Ansible module: Veyon is set up so, as `veyon-cli config export` tells it afterwards.

Veyon keeps its settings in one file that its programs rewrite by themselves, and its command line
answers “OK” and “FAIL” for other things than whether a value was kept. So they are compared with
what Veyon exports, before and after.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: veyon_settings
short_description: Set up Veyon
description:
  - The given settings hold; all others are Veyon's own defaults. Check mode is supported.
options:
  settings:
    description: Settings as veyon-cli exports them, by group and name.
    type: dict
    required: true
  owes:
    description: As that of config_files, what has to be told of a change.
    type: str
author: Classroom Provisioner
"""

EXAMPLES = r"""
- name: Let teachers prove who they are by key files
  veyon_settings:
    settings:
      Authentication:
        Method: "1"
"""

RETURN = r"""
wrong:
  description: The settings that were otherwise before.
  type: list
  elements: str
  returned: always
"""

OWED = Path("/run/classroom-owed")
SETTINGS = Path("/etc/xdg/Veyon Solutions/Veyon.conf")
# It wants a home to write to, and no screen.
ENVIRONMENT = {"QT_QPA_PLATFORM": "offscreen", "HOME": "/root", "LC_ALL": "C.UTF-8"}


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Names of settings whose exported value is another; numbers are exported as words."""
    return [
        f"{group}/{name}"
        for group, values in wanted.items()
        for name, value in values.items()
        if _plain(found.get(group, {}).get(name)) != _plain(value)
    ]


def _plain(value: Any) -> Any:
    """An empty list is exported as nothing at all."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item} or None
    return value


class Veyon:
    """veyon-cli, with a folder for the files that it reads and writes."""

    def __init__(self, module: AnsibleModule, folder: str) -> None:
        self._module, self._file = module, Path(folder) / "veyon.json"

    def exported(self) -> dict[str, Any]:
        self._file.unlink(missing_ok=True)
        self._run("export")
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self._module.fail_json(msg=f"Veyon does not tell its settings: {error}")
        return found if isinstance(found, dict) else {}

    def take(self, settings: dict[str, Any]) -> None:
        SETTINGS.unlink(missing_ok=True)
        self._file.write_text(json.dumps(settings), encoding="utf-8")
        self._run("import")

    def _run(self, verb: str) -> None:
        words = ["/usr/bin/veyon-cli", "config", verb, str(self._file)]
        self._module.run_command(words, environ_update=ENVIRONMENT)


def main() -> None:
    module = AnsibleModule(
        argument_spec={"settings": {"type": "dict", "required": True}, "owes": {"type": "str"}},
        supports_check_mode=True,
    )
    wanted: dict[str, Any] = module.params["settings"]
    with tempfile.TemporaryDirectory() as folder:
        veyon = Veyon(module, folder)
        wrong = differences(wanted, veyon.exported())
        if wrong and not module.check_mode:
            if module.params["owes"]:
                OWED.mkdir(exist_ok=True)
                (OWED / module.params["owes"]).touch()
            veyon.take(wanted)
            still = differences(wanted, veyon.exported())
            if still:
                module.fail_json(msg=f"Veyon did not keep {', '.join(still)}")
    module.exit_json(changed=bool(wrong), wrong=wrong)


if __name__ == "__main__":
    main()
