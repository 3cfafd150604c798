"""What machines learn about the station that configures them."""

from __future__ import annotations

from provisioner.fleet.inventory import StationFacts
from provisioner.workshop.station import Station


def station_facts(station: Station) -> StationFacts:
    """Its name, and its time server only if it has one."""
    host = station.url.removeprefix("http://").partition(":")[0]
    servers = (host,) if station.settings.serve_time and host else ()
    return StationFacts(time_servers=servers, name="classroom-provisioner")
