"""How every simipu command ends: a message without a traceback, and an exit code with a meaning.

0 done, 1 the data is at fault, 2 the command is, 3 stopped half-way and can be continued. Every
command gets the flag ``--debug``, which shows the traceback as well.

    @click.command(cls=ReportingCommand)
    def main() -> None: ...

    @click.group(cls=ReportingGroup)      # its commands are ReportingCommands
    def main() -> None: ...
"""

from __future__ import annotations

import errno
import traceback
from typing import NoReturn

import click

from simipu.errors import SimipuError

_DEBUG = "simipu.debug"


def _remember(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[_DEBUG] = value


_DEBUG_OPTION = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Show the Python traceback of an error.",
)


class ReportingCommand(click.Command):
    """A command that reports a `SimipuError`, an `OSError` or Ctrl-C as described above."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters and ``--debug``."""
        return [*super().get_params(ctx), _DEBUG_OPTION]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; errors that a user can mend become messages."""
        try:
            return super().invoke(ctx)
        except SimipuError as error:
            _fail(ctx, str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail(ctx, "interrupted", 3)
        except OSError as error:
            if error.errno in (None, errno.EPIPE):  # click ends quietly on a closed pipe
                raise
            _fail(ctx, f"{error.filename or 'system'}: {error.strerror}", 1)


class ReportingGroup(click.Group):
    """A group whose commands are `ReportingCommand`s."""

    command_class = ReportingCommand


def _fail(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    if ctx.meta.get(_DEBUG):
        traceback.print_exc()
    click.echo(f"Error: {message}", err=True)
    ctx.exit(exit_code)
