from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.release.licences import SEE_FILE, parse_copyright, read_licence

DEP5 = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Files: *
Copyright: somebody
License: GPL-2+ and LGPL-2.1+

Files: x
License: MIT

License: MIT
 Permission is hereby granted, free of charge, …

License: Apache-2.0 or BSD-3-clause
"""
OLD = """\
This is free software; see /usr/share/common-licenses/GPL-2. Parts are under the terms in
“/usr/share/common-licenses/LGPL-2.1”.
Permission is hereby granted, free of charge, to any person
"""


def test_machine_readable() -> None:
    assert parse_copyright(DEP5) == "Apache-2.0, BSD-3-clause, GPL-2+, LGPL-2.1+, MIT"


def test_older_form() -> None:
    assert parse_copyright(OLD) == "GPL-2, LGPL-2.1, MIT"


def test_old_form_that_refers_to_no_file() -> None:
    text = "GNU Lesser General Public License, version 2\n\nLicense: see the GNU GPL v2.\n"
    assert parse_copyright(text) == "GPL, LGPL"


def test_a_named_licence_is_not_named_again_by_its_family() -> None:
    text = "the GNU General Public License, see /usr/share/common-licenses/GPL-3"
    assert parse_copyright(text) == "GPL-3"


def test_names_with_or_in_them_and_exceptions() -> None:
    text = (
        "copyright-format/1.0\nLicense: GPL-2+-or-X11\n\nLicense: GPL-3+ with Autoconf exception\n"
    )
    assert parse_copyright(text) == "GPL-2+-or-X11, GPL-3+ with Autoconf exception"


def test_nothing_readable() -> None:
    assert parse_copyright("See the web site.") == ""


def test_never_longer_than_the_manifest_takes() -> None:
    text = "copyright-format/1.0\n" + "".join(f"License: Licence-{n:04d}\n" for n in range(100))
    assert len(parse_copyright(text)) <= 200
    assert parse_copyright(text).endswith("…")


def test_no_control_characters() -> None:
    text = "copyright-format/1.0\nLicense: GPL-2\x1b[31m\n"
    assert "\x1b" not in parse_copyright(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/share/doc/a").mkdir(parents=True)
    (root / "usr/share/doc/a/copyright").write_text(DEP5)
    (root / "usr/share/doc/b").symlink_to("a")
    return root


def test_through_a_link_inside(root: Path) -> None:
    assert read_licence(root, "b") == read_licence(root, "a") != SEE_FILE


def test_not_through_a_link_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "copyright").write_text(DEP5)
    (root / "usr/share/doc/c").symlink_to(tmp_path)
    assert read_licence(root, "c") == SEE_FILE
    assert read_licence(root, "missing") == SEE_FILE
