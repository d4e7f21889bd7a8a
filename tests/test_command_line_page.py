"""The page about the command line names every command and every flag there is."""

from pathlib import Path

import click
from manifestry.cli.application import program

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "reference" / "command-line.md").read_text()


def test_every_command_and_flag_is_on_the_page():
    context = click.Context(program)
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        assert f"`manifestry {name}" in PAGE or f"\n## {name}\n" in PAGE, name
        for option in command.params:
            if isinstance(option, click.Option):
                assert any(f"`{flag}" in PAGE or f" {flag}`" in PAGE for flag in option.opts), (name, option.opts)
