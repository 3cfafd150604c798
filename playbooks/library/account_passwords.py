#!/usr/bin/python3
"""Ansible module: accounts have these passwords, hashed on the machine itself.

The machine compares a password with the hash in /etc/shadow (crypt(3)) and changes it only when
they differ, with chpasswd(8), which hashes by the system's own rule (yescrypt on Debian 13).
Afterwards it compares again: that chpasswd exited 0 proves nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: account_passwords
short_description: Give accounts their passwords
description:
  - Sets a password only when the account does not have it yet. It is hashed on the machine.
options:
  passwords:
    description: Login names and their passwords, in plain text.
    type: dict
    default: {}
  hashes:
    description: Login names and their passwords as /etc/shadow keeps them, made elsewhere.
    type: dict
    default: {}
author: Classroom Provisioner
"""

EXAMPLES = r"""
- name: Give the accounts their passwords
  account_passwords:
    passwords:
      pupil: "{{ account_passwords.pupil }}"
"""

RETURN = r"""
accounts:
  description: The accounts that did not have their password before.
  type: list
  elements: str
  returned: always
"""

SHADOW = Path("/etc/shadow")


def crypt(password: str, stored: str) -> str:
    """crypt(3) from libcrypt, which every Debian has; Python's own module is gone since 3.13."""
    library = ctypes.CDLL("libcrypt.so.1", use_errno=True)
    library.crypt.restype = ctypes.c_char_p
    made = library.crypt(password.encode(), stored.encode())
    return made.decode() if made else ""


def stored_hashes() -> dict[str, str]:
    rows = (line.split(":", 2) for line in SHADOW.read_text(encoding="utf-8").splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1}


def has_password(login: str, password: str) -> bool:
    stored = stored_hashes().get(login, "")
    return stored.startswith("$") and crypt(password, stored) == stored


def has_hash(login: str, hashed: str) -> bool:
    return stored_hashes().get(login, "") == hashed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "passwords": {"type": "dict", "default": {}, "no_log": True},
            "hashes": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    wrong = give(module, module.params["passwords"], has_password, [])
    wrong += give(module, module.params["hashes"], has_hash, ["--encrypted"])
    module.exit_json(changed=bool(wrong), accounts=wrong)


def give(
    module: AnsibleModule,
    wanted: dict[str, str],
    has: Callable[[str, str], bool],
    options: list[str],
) -> list[str]:
    """Set what is not so yet; returns whose that was."""
    wrong = [login for login, secret in wanted.items() if not has(login, secret)]
    if wrong and not module.check_mode:
        lines = "\n".join(f"{login}:{wanted[login]}" for login in wrong)
        code, _, errors = module.run_command(["/usr/sbin/chpasswd", *options], data=lines)
        still = [login for login in wrong if not has(login, wanted[login])]
        if code != 0 or still:
            module.fail_json(msg=f"chpasswd did not set the password of {still}: {errors}")
    return wrong


if __name__ == "__main__":
    main()
