#!/usr/bin/python3
"""Ansible module: several configuration files are exactly so, in one trip to the machine.

Ansible's own `copy` and `template` start Python two or three times for each file. On an old PC
that is the greater part of configuring it (measured under emulation: 10 s a file, against 5 s
for any number of them here).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: config_files
short_description: Lay out several configuration files at once
description:
  - Each file has exactly this content and mode and belongs to root, or is exactly this link, or
    is not there. Missing folders are made, and empty ones stay. Files are replaced whole, so that
    a power cut leaves the old or the new one. Check mode and diff mode are supported.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path., type: str, required: true}
      content: {description: The whole text of the file., type: str}
      link: {description: What a symbolic link points to., type: str}
      absent: {description: The file shall not be there., type: bool, default: false}
      mode: {description: "Permissions in octal, for example 0644.", type: str, default: "0644"}
      group: {description: The number of the group that it belongs to., type: int, default: 0}
  owes:
    description:
      - What has to be told of a change, such as a service. Until the handler has removed
        /run/classroom-owed/NAME, files that are as wanted count as changed. A handler is lost with
        the run in which it was notified, when the line breaks or power fails before the end; the
        next run would find the files in order, and the service on its old settings for ever.
    type: str
author: Classroom Provisioner
"""

EXAMPLES = r"""
- name: Greet before and after logging in
  config_files:
    files:
      - path: /etc/issue
        content: "{{ lookup('template', 'issue.j2') }}"
"""

RETURN = r"""
paths:
  description: The files that were otherwise before.
  type: list
  elements: str
  returned: always
"""


OWED = Path("/run/classroom-owed")  # gone with a start of the machine, which tells everybody


def read_link(path: Path) -> str | None:
    return str(path.readlink()) if path.is_symlink() else None


def read_text(path: Path) -> str | None:
    """The file's text; nothing when it is not there or not a plain file."""
    if path.is_symlink() or not path.is_file():
        return None
    return path.read_bytes().decode("utf-8", "replace")


def is_so(entry: dict[str, Any]) -> bool:
    """Whether a file is as wanted, in content, kind, mode and owner."""
    path = Path(entry["path"])
    if entry["absent"]:
        return not path.is_symlink() and not path.exists()
    if entry["link"] is not None:
        return read_link(path) == entry["link"]
    if read_text(path) != entry["content"]:
        return False
    status = path.lstat()
    return (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (
        int(entry["mode"], 8), 0, entry["group"],
    )  # fmt: skip


def make_so(entry: dict[str, Any]) -> None:
    """Write aside, then move into place. A link to a file is replaced, not followed."""
    path = Path(entry["path"])
    if entry["absent"]:
        path.unlink()
        return
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    if entry["link"] is not None:
        aside.symlink_to(entry["link"])
    else:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(entry["content"])
            os.fchown(file.fileno(), 0, entry["group"])
            os.fchmod(file.fileno(), int(entry["mode"], 8))
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)


def difference(entry: dict[str, Any]) -> dict[str, str]:
    path = Path(entry["path"])
    return {
        "before_header": str(path),
        "after_header": str(path),
        "before": read_link(path) or read_text(path) or "",
        "after": entry["link"] or entry["content"] or "",
    }


def main() -> None:
    options = {
        "path": {"type": "str", "required": True},
        "content": {"type": "str"},
        "link": {"type": "str"},
        "absent": {"type": "bool", "default": False},
        "mode": {"type": "str", "default": "0644"},
        "group": {"type": "int", "default": 0},
    }
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list", "elements": "dict", "required": True, "options": options,
                "required_one_of": [("content", "link", "absent")],
                "mutually_exclusive": [("content", "link")],
            },
            "owes": {"type": "str"},
        },
        supports_check_mode=True,
    )  # fmt: skip
    wrong = [entry for entry in module.params["files"] if not is_so(entry)]
    diff = [difference(entry) for entry in wrong]
    owed = OWED / module.params["owes"] if module.params["owes"] else None
    due = owed is not None and owed.exists()
    if not module.check_mode:
        if wrong and owed is not None:
            OWED.mkdir(exist_ok=True)
            owed.touch()
        for entry in wrong:
            make_so(entry)
        still = [entry["path"] for entry in wrong if not is_so(entry)]
        if still:
            module.fail_json(msg=f"These files are still not as they were written: {still}")
    module.exit_json(
        changed=bool(wrong) or due, paths=[entry["path"] for entry in wrong], diff=diff
    )


if __name__ == "__main__":
    main()
