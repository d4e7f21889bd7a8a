"""`manifestry convert`: archives into a virtual store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

import manifestry
from manifestry.cli.arguments import common_options, named_values, parse_samples, reading_options
from manifestry.cli.completion import files, writable_formats
from manifestry.cli.output import Output, human_bytes, pass_output
from manifestry.cli.progress import open_progress
from manifestry.errors import OptionError, SourceError, printable, translated
from manifestry.formats.options import describe_options
from manifestry.formats.report import pluralise

if TYPE_CHECKING:
    from manifestry.conversion.report import ConvertReport
    from manifestry.formats.report import WriteReport
    from manifestry.parallel import ExecutorLike

__all__ = ["command"]

_STATUS: Final = {"failed": "left out", "changed": "has changed since it was written"}
"""What is said of sources that are not as they should be; any of them makes the exit code 1."""


class _Convert(click.Command):
    """The command, whose help ends with the values of ``--combine``."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and what `--combine` takes."""
        from manifestry.combine.options import CombineOptions  # noqa: PLC0415 combining imports zarr, which takes a while

        super().format_options(ctx, formatter)
        with formatter.section("Values of --combine, the default first"):
            formatter.write_dl([(option.usage, option.description) for option in describe_options(CombineOptions)])


@click.command("convert", cls=_Convert, short_help="Archives into a virtual Zarr store.")
@click.argument("sources", metavar="SRC...", nargs=-1, shell_complete=files)
@click.argument("target", metavar="DST", shell_complete=files)
@reading_options(on_unsupported="raise")
@click.option(
    "--to",
    "target_format",
    metavar="FMT",
    shell_complete=writable_formats,
    help="Format to write, instead of the one that DST's ending means.",
)
@click.option(
    "--co", metavar="K=V", multiple=True, help="Option for writing; see `manifestry formats NAME`. Repeatable."
)
@click.option(
    "--concat-dim",
    metavar="DIM",
    multiple=True,
    help="Join the sources along this dimension. Repeated: also along further ones, by their coordinates.",
)
@click.option(
    "--coord",
    "coords",
    metavar="RULE",
    multiple=True,
    help="Coordinate from names or attributes: NAME[:FORMAT]=regex:PATTERN or =attribute:[PATH@]NAME. Repeatable.",
)
@click.option(
    "--stack",
    metavar="NAME",
    multiple=True,
    help="A variable without --concat-dim that gets it, so that each source keeps its own values. Repeatable.",
)
@click.option("--rename", metavar="OLD=NEW", multiple=True, help="Rename arrays, groups and dimensions. Repeatable.")
@click.option(
    "--combine",
    metavar="K=V",
    multiple=True,
    help="What to do where sources differ: see below. Repeatable.",
)
@click.option("--overwrite", is_flag=True, help="Replace DST, if it is an output of the same format.")
@click.option("--append", is_flag=True, help="Continue DST along --concat-dim.")
@click.option(
    "--resume", is_flag=True, help="As --append, or a new DST: goes on with the sources that DST does not hold yet."
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="Sources that cannot be read: stop, or go on without them and end with exit code 1.",
)
@click.option("--sort", is_flag=True, help="Combine the sources in the order of the coordinate of --concat-dim.")
@click.option(
    "--on-duplicate",
    type=click.Choice(["keep", "keep-first", "replace", "raise"]),
    default="keep",
    show_default=True,
    help="Values of that coordinate that occur twice, also in DST: keep and report them, keep the first, or the last.",
)
@click.option("--relocate", metavar="OLD=NEW", multiple=True, help="Write references to NEW... for OLD.... Repeatable.")
@click.option("--allow-signed-urls", is_flag=True, help="Write URLs with passwords or signatures as they are.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option("--verify", metavar="N|all", callback=parse_samples, help="Compare N chunks of each array afterwards.")
@click.option("--slab-files", type=click.IntRange(min=1), metavar="N", help="Commit after every N sources.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Parse with N processes; by default as many as there are cores, for many sources.",
)
@click.option("--dask", metavar="ADDRESS", help="Parse with the workers of a Dask scheduler.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@common_options
@click.pass_context
@pass_output
def command(output: Output, context: click.Context, /, *, quiet: bool, **parameters: Any) -> None:
    """Describe archives as a virtual Zarr store at DST, without copying their data.

    SRC is a path, URL, pattern, @LIST of them, or a prefix that ends with a slash.
    """
    if not parameters["sources"]:
        raise click.UsageError("Missing argument 'DST': sources come first, the target last.")
    arguments = _arguments(parameters)
    with (
        _executor(parameters["jobs"], parameters["dask"]) as executor,
        open_progress(quiet=quiet or output.json) as progress,
    ):
        report = manifestry.convert(
            parameters["sources"], parameters["target"], executor=executor, progress=progress, **arguments
        )
    if output.json:
        output.document("convert", {"report": report.to_json()})
    else:
        _show(output, report)
    wrong = any(source.status in _STATUS for source in report.sources)
    context.exit(1 if wrong or (report.verified is not None and not report.verified.ok) else 0)


def _arguments(parameters: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `manifestry.convert`, from the parameters of the command."""
    from manifestry.combine.options import CombineOptions  # noqa: PLC0415 combining imports zarr, which takes a while

    if parameters["append"] and parameters["overwrite"]:
        raise click.UsageError("--append and --overwrite exclude each other")
    if parameters["append"] and not parameters["concat_dim"]:
        raise click.UsageError("--append needs --concat-dim: the dimension along which DST is continued")
    return {
        "format": parameters["source_format"],
        "to": parameters["target_format"],
        "read": named_values(parameters["oo"], "--oo"),
        "write": named_values(parameters["co"], "--co"),
        "include": parameters["include"],
        "exclude": parameters["exclude"],
        "concat_dim": parameters["concat_dim"] or None,
        "coords": parameters["coords"],
        "stack": parameters["stack"],
        "rename": named_values(parameters["rename"], "--rename") or None,
        "slab_files": parameters["slab_files"],
        "combine": CombineOptions.of(named_values(parameters["combine"], "--combine"), "--combine"),
        "relocate": named_values(parameters["relocate"], "--relocate") or None,
        "overwrite": parameters["overwrite"],
        "append_dim": parameters["concat_dim"][0] if parameters["append"] else None,
        "resume": parameters["resume"],
        "on_unsupported": parameters["on_unsupported"],
        "limits": parameters["limits"],
        "allow": parameters["allow"],
        "untrusted": parameters["untrusted"],
        "isolate": True,
        "on_error": parameters["on_error"],
        "sort": parameters["sort"],
        "on_duplicate": parameters["on_duplicate"],
        "allow_signed_urls": parameters["allow_signed_urls"],
        "dry_run": parameters["dry_run"],
        "verify": parameters["verify"],
    }


@contextmanager
def _executor(jobs: int | None, dask: str | None) -> Iterator[ExecutorLike]:
    """What parses: this process, several, or the workers of a Dask scheduler."""
    if jobs is not None and dask is not None:
        raise click.UsageError("-j and --dask exclude each other")
    if dask is None:
        yield "auto" if jobs is None else jobs
        return
    try:
        from distributed import Client  # noqa: PLC0415 only for those who have a cluster
    except ImportError as error:
        raise OptionError("--dask needs the package distributed: pip install distributed") from error
    with translated((OSError, ValueError, TimeoutError), SourceError, f"{dask}: no Dask scheduler answers"):
        client = Client(dask, set_as_default=False)  # type: ignore[no-untyped-call]
    with client:
        yield client


def _show(output: Output, report: ConvertReport) -> None:
    for source in report.sources:
        if source.status in ("failed", "changed"):
            output.message(f"manifestry: {_STATUS[source.status]}: {printable(f'{source.url}: {source.error}')}")
    present = report.count("present")
    if present:
        output.line(f"{present} of {pluralise(len(report.sources), 'source')} there already")
    if report.written is None:
        output.line(f"{report.target}: nothing to write")
    else:
        _show_written(output, report.written, "would write" if report.dry_run else "wrote")
    if report.verified is not None:
        for problem in report.verified.problems():
            output.line(problem)
        output.line(report.verified.summary())
    if report.written is not None and report.written.reader and not report.dry_run:
        output.line("open it with:\n")
        output.block(report.written.reader)


def _show_written(output: Output, written: WriteReport, doing: str) -> None:
    output.line(
        f"{written.target} ({written.format}): {doing} {pluralise(written.arrays, 'array')}, "
        f"{pluralise(written.references, 'reference')} to {human_bytes(written.described_bytes)}, "
        f"{pluralise(written.inlined, 'chunk')} inlined"
    )
    for issue in written.issues:
        output.line(f"  {issue.severity}: {issue}")
    if written.requirements:
        output.line(f"readers need: {', '.join(written.requirements)}")
