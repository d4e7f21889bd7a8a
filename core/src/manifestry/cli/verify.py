"""`manifestry verify`: whether an output still says what its sources hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from manifestry.cli.arguments import access_options, common_options, parse_samples
from manifestry.cli.completion import files, readable_formats
from manifestry.cli.output import Output, pass_output

if TYPE_CHECKING:
    from manifestry.verification import VerifyReport

__all__ = ["command"]


@click.command("verify", short_help="Compare an output with its sources.")
@click.argument("target", metavar="DST", shell_complete=files)
@click.option(
    "--from",
    "target_format",
    metavar="FMT",
    shell_complete=readable_formats,
    help="Format of the output, instead of looking.",
)
@click.option(
    "--samples",
    metavar="N|all",
    default="16",
    show_default=True,
    callback=parse_samples,
    help="How many chunks of each array to compare.",
)
@access_options
@common_options
@click.pass_context
@pass_output
def command(
    output: Output,
    context: click.Context,
    target: str,
    target_format: str | None,
    samples: int | Literal["all"],
    allow: tuple[str, ...] | None,
    untrusted: bool,
) -> None:
    """Compare an output with its sources, read by the library of their own format where there is one.

    Compared are chunks of every array, bit by bit, and data types, dimensions and attributes. Exit code 1: values, or
    attributes that say what these mean, differ, or a source has changed or is gone.
    """
    from manifestry.verification import verify  # noqa: PLC0415 it imports zarr, which `manifestry --help` does not need

    report = verify(target, samples=samples, format=target_format, allow=allow, untrusted=untrusted)
    if output.json:
        output.document("verify", {"report": report.to_json()})
    else:
        _show(output, report)
    context.exit(0 if report.ok else 1)


def _show(output: Output, report: VerifyReport) -> None:
    rows = [[a.path, str(a.compared), str(len(a.mismatches)), a.oracle, a.message] for a in report.arrays]
    if rows:
        output.table(
            ["array", "chunks compared", "different", "compared with", "remark"],
            rows,
            right=("chunks compared", "different"),
        )
    for difference in report.differences:
        output.line(f"{'WRONG' if difference.alters else 'differs'}: {difference}")
    for source in report.changed:
        output.line(f"{source.status}: {source.url}: {source.message}")
    output.line(report.summary())
