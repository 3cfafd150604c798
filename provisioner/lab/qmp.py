"""A conversation with a running QEMU over its machine protocol (QMP), one JSON object a line."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from provisioner.errors import UnreachableError

TIMEOUT_S = 20.0


def execute(path: Path, command: str, **arguments: Any) -> Any:
    """Connect, run one command, return its answer. Raises UnreachableError when QEMU is silent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk:
        talk.settimeout(TIMEOUT_S)
        try:
            talk.connect(str(path))
            with talk.makefile("rwb") as lines:
                json.loads(lines.readline())  # the greeting
                _ask(lines, "qmp_capabilities", {})
                return _ask(lines, command, arguments)
        except (OSError, ValueError) as error:
            raise UnreachableError(f"QEMU at {path} does not answer: {error}.") from error


def _ask(lines: Any, command: str, arguments: dict[str, Any]) -> Any:
    lines.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    lines.flush()
    for line in lines:
        answer = json.loads(line)
        if "error" in answer:
            raise UnreachableError(f"QEMU refused “{command}”: {answer['error']['desc']}.")
        if "return" in answer:
            return answer["return"]
    raise UnreachableError(f"QEMU went away during “{command}”.")
