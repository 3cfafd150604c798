"""How our commands look and fail: in the order of the job, and with a message and a hint."""

from __future__ import annotations

import sys
from typing import IO, Any

import click

from provisioner.cli.output import printable
from provisioner.errors import ProvisionerError


class Failure(click.ClickException):
    """One of our errors at the edge: the message and the hint on standard error, exit code 1."""

    exit_code = 1

    def __init__(self, error: ProvisionerError) -> None:
        super().__init__(error.message)
        self.hint = error.hint

    def show(self, file: IO[Any] | None = None) -> None:
        out = file or sys.stderr
        click.echo(f"{click.style('Error:', fg='red')} {printable(self.message)}", file=out)
        if self.hint:
            click.echo(f"{click.style('Next:', bold=True)}  {printable(self.hint)}", file=out)


class Contents(click.Group):
    """A group whose commands are listed in the order in which they were added, in chapters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.chapters: dict[str, list[str]] = {}

    def chapter(self, title: str, *commands: click.Command) -> None:
        """Add commands under a heading of the help page."""
        self.chapters[title] = [command.name or "" for command in commands]
        for command in commands:
            self.add_command(command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.chapters:
            super().format_commands(ctx, formatter)
            return
        width = max(len(name) for name in self.commands)
        for title, names in self.chapters.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(n.ljust(width), self.commands[n].get_short_help_str(80)) for n in names]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ProvisionerError as error:
            raise Failure(error) from error
