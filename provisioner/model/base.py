"""What all values of the model have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

# Text that a machine or a person sends us is untrusted: short, and without control characters
# (no ANSI escapes on a terminal, no line breaks in a log).
ShortText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Text = Annotated[str, StringConstraints(max_length=4000)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Mac = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]
# A name that becomes part of a path or a URL: nothing that could leave its folder.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Model(BaseModel):
    """A frozen value; unknown fields are an error, so that a typo never passes silently.

    Infinity is no figure: JSON for browsers cannot hold it, and one machine that sends it would
    leave everybody without a dashboard.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
