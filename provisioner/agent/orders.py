"""Which orders are carried out: signed by our station, for this machine, never seen before.

Everything here happens before a single byte is written. The disk is checked by `disk`, right
before it is opened, because it may be changed while the order waits.
"""

from __future__ import annotations

import base64
import json
import re

from provisioner.agent.memory import UsedOrders
from provisioner.agent.surroundings import Home
from provisioner.errors import UntrustedError, WrongStateError
from provisioner.model.order import Order
from provisioner.model.signed import open_envelope
from provisioner.model.wire import Surroundings

_ID = re.compile(r"^[0-9a-f]{32}$")
NO_ID = "0" * 32
# The installed system stands on the disk that these would overwrite.
ONLY_LIVE = frozenset({"wipe", "image"})
# And nothing could be renewed where no system stands.
ONLY_INSTALLED = frozenset({"renew", "reconfigure", "reset-homes", "logs"})


def accept(sealed: str, home: Home, used: UsedOrders) -> Order:
    """The order inside `sealed`, if it may be carried out here and now.

    Raises UntrustedError for a wrong signature, another machine's key or a used identifier,
    WrongStateError when it makes no sense in this system. Remembers the order as used.
    """
    order, _ = open_envelope(sealed, Order, trusted=home.station_key)
    if order.machine_key != home.key.public:
        raise UntrustedError(
            "This order is for another machine.", "It was not carried out; ask a technician."
        )
    if order.id in used:
        raise UntrustedError(
            "This order was given before; an order is carried out once.",
            "It was not carried out again; ask a technician.",
        )
    if home.kind is Surroundings.INSTALLED and order.work.verb in ONLY_LIVE:
        raise WrongStateError(
            f"“{order.work.verb}” is only done in the live environment.",
            "Start this machine from the workshop's network.",
        )
    if home.kind is Surroundings.LIVE and order.work.verb in ONLY_INSTALLED:
        raise WrongStateError(
            f"“{order.work.verb}” is only done in the installed system.",
            "Start this machine from its own disk.",
        )
    used.add(order.id)
    return order


def claimed_id(sealed: str) -> str:
    """The identifier an order claims, only to name it in a refusal; nothing else of it is used."""
    try:
        payload = json.loads(base64.b64decode(json.loads(sealed)["payload"]))
        claimed = payload["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return NO_ID
    return claimed if isinstance(claimed, str) and _ID.match(claimed) else NO_ID
