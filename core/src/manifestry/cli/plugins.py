"""`manifestry plugins`: what is installed, and what is wrong with what does not work."""

from __future__ import annotations

import click

from manifestry.cli.arguments import common_options
from manifestry.cli.output import Output, pass_output
from manifestry.formats.loading import PluginRecord, PluginState, installed_formats

__all__ = ["command"]


@click.command("plugins", short_help="The plugins, and what is wrong with those that do not work.")
@common_options
@pass_output
def command(output: Output) -> None:
    """Show the installed plugins, their state, and the reason when one does not work (-v: the traceback)."""
    records = installed_formats().records
    if output.json:
        output.document("plugins", {"plugins": [_to_json(record) for record in records]})
        return
    rows = [[r.name, r.distribution, r.version, r.state, _formats(r), r.reason] for r in records]
    if not rows:
        output.line("no plugin is installed; for example: pip install manifestry-hdf5 manifestry-icechunk")
        return
    output.table(["plugin", "distribution", "version", "state", "formats", "reason"], rows)
    if output.verbose:
        for record in records:
            if record.trace:
                output.line(f"\n{record.name} ({record.distribution}):\n{record.trace}")
    elif any(record.state is PluginState.ERROR for record in records):
        output.message("manifestry plugins -v shows the tracebacks")


def _formats(record: PluginRecord) -> str:
    read, write = (sorted(d.name for d in found) for found in (record.parsers, record.writers))
    both = [f"reads {', '.join(read)}"] if read else []
    return "; ".join([*both, f"writes {', '.join(write)}"] if write else both)


def _to_json(record: PluginRecord) -> dict[str, object]:
    return {
        "name": record.name,
        "distribution": record.distribution,
        "version": record.version,
        "module": record.module,
        "state": record.state,
        "reason": record.reason,
        "traceback": record.trace,
        "reads": [d.name for d in record.parsers],
        "writes": [d.name for d in record.writers],
    }
