"""`provisioner doctor`: what is missing or in the way on this station, and the cure for each.

`examine()` is the list of what is looked at. Looking changes nothing, except that one DHCP
question is asked on the machines' wire.
"""

from __future__ import annotations

from provisioner.doctor.finding import Finding, Level
from provisioner.doctor.station import clock as check_clock
from provisioner.doctor.station import disk_space, live_release, programs, rights, virtual_machines
from provisioner.doctor.wire import dhcp_servers, interface, ports
from provisioner.settings import Settings

__all__ = ["Finding", "Level", "examine"]


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, worst first within each part; texts in the station's language."""
    observations = [
        rights(),
        *programs(),
        *interface(settings),
        *dhcp_servers(settings),
        *ports(settings),
        *disk_space(settings),
        check_clock(),
        live_release(settings),
        virtual_machines(),
    ]
    return [observation.told_in(settings.language) for observation in observations]
