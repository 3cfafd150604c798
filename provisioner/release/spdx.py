"""Licence names: from the short names that Debian's copyright files use to SPDX identifiers.

Debian's format (copyright-format 1.0, section 7) says `GPL-2+` where SPDX's list says
`GPL-2.0-or-later`. What is in neither stays as it was written: a name, not an identifier.
"""

from __future__ import annotations

import re

_GNU = re.compile(
    r"^(?P<kind>A?GPL|LGPL|GFDL(?:-NIV)?)-(?P<major>\d)(?P<minor>\.\d)?(?P<later>\+?)$"
)
# SPDX's own writing of what appears in Debian under the same or another name
SAME = {
    "0bsd": "0BSD", "afl-2.1": "AFL-2.1", "apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl", "artistic-2": "Artistic-2.0", "artistic-2.0": "Artistic-2.0",
    "boost-1.0": "BSL-1.0", "bsd-1-clause": "BSD-1-Clause", "bsd-2-clause": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC", "bsl-1.0": "BSL-1.0", "bzip2": "bzip2-1.0.6",
    "cc-by-3.0": "CC-BY-3.0", "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc0": "CC0-1.0", "cc0-1.0": "CC0-1.0", "curl": "curl",
    "expat": "MIT", "fsfap": "FSFAP", "fsful": "FSFUL", "fsfullr": "FSFULLR", "ftl": "FTL",
    "hpnd": "HPND", "hpnd-sell-variant": "HPND-sell-variant", "icu": "ICU", "ijg": "IJG",
    "isc": "ISC", "libpng": "Libpng", "mit": "MIT", "mit-open-group": "MIT-open-group",
    "mpl-1.1": "MPL-1.1", "mpl-2.0": "MPL-2.0", "ncsa": "NCSA", "ofl-1.1": "OFL-1.1",
    "openldap-2.8": "OLDAP-2.8", "openssl": "OpenSSL", "postgresql": "PostgreSQL",
    "psf-2": "PSF-2.0", "psf-2.0": "PSF-2.0", "python-2.0": "Python-2.0", "tcl": "TCL",
    "unicode-dfs-2016": "Unicode-DFS-2016", "unlicense": "Unlicense", "vim": "Vim", "w3c": "W3C",
    "wtfpl": "WTFPL", "x11": "X11", "zlib": "Zlib",
}  # fmt: skip
_ALREADY = re.compile(r"^(A?GPL|LGPL)-\d\.\d-(only|or-later)$|^GFDL-1\.\d-.*-(only|or-later)$")


def spdx_id(name: str) -> str:
    """The SPDX identifier of a licence's short name; '' when it has none.

    >>> spdx_id("GPL-2+"), spdx_id("Expat"), spdx_id("BSLA")
    ('GPL-2.0-or-later', 'MIT', '')
    """
    if _ALREADY.match(name):
        return name
    if found := _GNU.match(name):
        kind, major = found["kind"], found["major"]
        end = "or-later" if found["later"] else "only"
        if kind.startswith("GFDL"):
            middle = "no-invariants-" if kind.endswith("NIV") else ""
            return f"GFDL-{major}{found['minor'] or '.0'}-{middle}{end}"
        return f"{kind}-{major}{found['minor'] or '.0'}-{end}"
    return SAME.get(name.lower(), "")
