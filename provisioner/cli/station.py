"""Running: the station itself, its dashboard, and the virtual classroom."""

from __future__ import annotations

from pathlib import Path

import click

from provisioner.cli.office import Office, pass_office
from provisioner.settings import DhcpMode


@click.command()
@click.option("--interface", help="The wire the machines hang on, for example enp3s0.")
@click.option("--address", help="The station's address on that wire, for example 10.77.0.1/24.")
@click.option(
    "--dhcp",
    type=click.Choice([mode.value for mode in DhcpMode]),
    help="server: we hand out addresses. proxy: beside another server. off: not at all.",
)
@click.option("--machine-port", type=int, help="HTTP port for machines.")
@click.option("--operator-host", help="Where the dashboard listens; loopback unless told.")
@click.option("--operator-port", type=int, help="HTTP port of the dashboard.")
@click.option(
    "--tls",
    "operator_tls",
    is_flag=True,
    default=None,
    help="HTTPS for the dashboard, with a certificate that the station makes itself.",
)
@pass_office
def serve(office: Office, /, **options: str | int | bool | None) -> None:
    """Run the station until Ctrl-C: netboot, dashboard, and the work on machines."""
    from provisioner.serve import serve as run_station

    run_station(office.settings_with(**options))


@click.command()
@pass_office
def dashboard(office: Office) -> None:
    """Print the dashboard's address, with a code that logs an administrator in once."""
    from provisioner.web import login_link

    click.echo(login_link(office.station, office.actor))


@click.command()
@click.option("--machines", type=click.IntRange(1, 25), default=2, show_default=True)
@click.option("--keep", is_flag=True, help="Leave station and machines running until Ctrl-C.")
@click.option(
    "--summary", type=click.Path(path_type=Path), help="Write the evidence here, as JSON."
)
@click.option(
    "--passports", type=click.Path(path_type=Path), default=Path("passports"), show_default=True
)
@click.option("--screenshots", type=click.Path(path_type=Path), help="Write the PCs' screens here.")
@pass_office
def lab(
    office: Office,
    machines: int,
    keep: bool,
    summary: Path | None,
    passports: Path,
    screenshots: Path | None,
) -> None:
    """Take virtual PCs from power-on to verified, in a network of their own."""
    from provisioner.lab.run import LabOptions, run_lab

    run_lab(office.settings, LabOptions(machines, keep, summary, passports, screenshots))
