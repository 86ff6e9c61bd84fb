"""The commands about batches, and the account."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from pressroom.answers import Summary
from pressroom.batch import Batch, FileKind
from pressroom.cli import webhooks
from pressroom.cli.display import (
    expected,
    print_json,
    print_line,
    print_table,
    problem_line,
    progress,
    saved,
    say,
    size,
    told,
)
from pressroom.cli.options import (
    INTERRUPTED,
    USAGE,
    AsJson,
    BatchId,
    Key,
    Url,
    Wiring,
    connected,
    is_terminal,
    status_of,
)
from pressroom.cli.settings import DEFAULT_URL, config_path, store_settings
from pressroom.client import Pressroom
from pressroom.errors import SheetInvalidError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A sheet of image links in, the same sheet with links of compressed images out.",
    epilog="Exit status: 0 all done, 1 failed, 2 usage or a bad sheet, 3 completed with errors, 4 not allowed.",
)
app.add_typer(webhooks.app, name="webhooks")

SheetPath = Annotated[
    Path, typer.Argument(metavar="SHEET", help="CSV file or Excel workbook", exists=True, dir_okay=False)
]
Columns = Annotated[
    str | None, typer.Option("--columns", help='Which column is which, e.g. {"urls": "Bild"}', show_default=False)
]
Encoding = Annotated[str | None, typer.Option("--encoding", help="Encoding of the sheet", show_default=False)]


@app.command()
def compress(
    sheet: SheetPath,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the result goes", show_default=False)
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=95, help="1 to 95; 50 unless given", show_default=False)
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="jpeg, webp, avif, png, keep or auto", show_default=False)
    ] = None,
    max_width: Annotated[int | None, typer.Option(min=1, help="Widest output, pixels", show_default=False)] = None,
    max_height: Annotated[int | None, typer.Option(min=1, help="Highest output, pixels", show_default=False)] = None,
    target_bytes: Annotated[int | None, typer.Option(help="Largest output, bytes", show_default=False)] = None,
    columns: Columns = None,
    encoding: Encoding = None,
    webhook_url: Annotated[str | None, typer.Option(help="Told when the batch ends", show_default=False)] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Work on the good rows")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Compress the images of a sheet, and write the sheet with the new links."""
    options = {
        "quality": quality,
        "format": format_,
        "max_width": max_width,
        "max_height": max_height,
        "target_bytes": target_bytes,
        "columns": columns,
        "encoding": encoding,
        "webhook_url": webhook_url,
        "on_invalid": "skip" if skip_bad_rows else None,
    }
    with connected(url, api_key) as client:
        batch = _upload(client, sheet, options)
        if detach:
            print_json({"request_id": batch.request_id}) if as_json else print_line(batch.request_id)
            return
        say(f"batch {batch.request_id}" + ("" if batch.estimate is None else f", {expected(batch.estimate)}"))
        summary = _wait(batch, silent=as_json)
        target = output or Path(f"{sheet.stem}-output.csv")
        batch.download(target)
        _tell_end(summary, target, as_json=as_json)
    raise typer.Exit(status_of(summary))


@app.command()
def check(
    sheet: SheetPath,
    fix: Annotated[
        Path | None,
        typer.Option("--fix", help="Write the sheet repaired, with a column of problems", show_default=False),
    ] = None,
    columns: Columns = None,
    encoding: Encoding = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a sheet and what is wrong with it; nothing runs."""
    options = {"columns": columns, "encoding": encoding}
    with connected(url, api_key) as client:
        found = client.check(sheet, **options)
        if fix is not None and found.total_rows is not None:
            fix.write_bytes(client.corrected(sheet, **options))
            say(f"wrote {fix}")
    if as_json:
        print_json(found)
    else:
        for problem in (*found.problems, *found.warnings):
            say(problem_line(str(sheet), problem))
        if found.total_rows is not None:
            print_line(
                f"rows: {found.total_rows}, images: {found.total_images} ({found.unique_images} different),"
                f" hosts: {found.host_count}, problems: {found.problem_count}, warnings: {found.warning_count}"
            )
        if found.estimate is not None:
            print_line(expected(found.estimate))
            for assumption in found.estimate.assumes or ():
                print_line(f"  assumed: {assumption}")
    raise typer.Exit(0 if found.valid else USAGE)


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="Only batches with this status", show_default=False)] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Most batches")] = 20,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List batches, newest first."""
    with connected(url, api_key) as client:
        found = [batch for batch, _number in zip(client.batches(status=status), range(limit), strict=False)]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            batch.request_id,
            batch.status,
            f"{batch.counts.succeeded}/{batch.counts.total}",
            size(batch.savings.saved_bytes),
            batch.created_at[:16].replace("T", " "),
            batch.source_name,
        )
        for batch in found
    ]
    print_table(("ID", "STATUS", "IMAGES", "SAVED", "CREATED (UTC)", "SHEET"), rows)


@app.command()
def show(
    request_id: BatchId,
    failed: Annotated[bool, typer.Option("--failed", help="List the images that failed")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show a batch, its problems and hosts."""
    with connected(url, api_key) as client:
        batch = client.batch(request_id)
        summary, problems, hosts = batch.summary(), batch.problems(), batch.hosts()
        images = list(batch.images(status="FAILED")) if failed else []
    if as_json:
        shown = {"batch": summary, "problems": problems, "hosts": hosts}
        print_json(shown | {"images": images} if failed else shown)
        return
    print_line(told(summary))
    if summary.estimate is not None and not summary.is_final:
        print_line(expected(summary.estimate))
    if failed:
        rows = [(str(image.row), image.code or image.status, image.input_url, image.detail or "") for image in images]
        print_table(("ROW", "CODE", "LINK", "DETAIL"), rows)
    elif problems:
        print_table(("CODE", "HOST", "IMAGES"), [(one.code, one.host, str(one.images)) for one in problems])


@app.command()
def watch(
    request_id: BatchId,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the result here", show_default=False)
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Wait for the end of a batch."""
    with connected(url, api_key) as client:
        batch = client.batch(request_id)
        summary = _wait(batch, silent=as_json)
        if output is not None:
            batch.download(output)
        _tell_end(summary, output, as_json=as_json)
    raise typer.Exit(status_of(summary))


@app.command()
def cancel(request_id: BatchId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Cancel the open images of a batch; results stay."""
    with connected(url, api_key) as client:
        count = client.cancel(request_id)
    print_json({"cancelled_images": count}) if as_json else print_line(f"{count} images were cancelled")


@app.command("open")
def open_(request_id: BatchId, url: Url = None, api_key: Key = None) -> None:
    """Open the page of a batch in a browser, and write its address."""
    with connected(url, api_key) as client:
        client.batch(request_id).summary()
        page = f"{client.ingest.url}/console/batches/{request_id}"
    print_line(page)
    if is_terminal():
        webbrowser.open(page)


@app.command()
def retry(
    request_id: BatchId,
    code: Annotated[list[str] | None, typer.Option(help="Only images with this code; may be repeated")] = None,
    host: Annotated[list[str] | None, typer.Option(help="Only images of this host; may be repeated")] = None,
    image: Annotated[list[str] | None, typer.Option(help="Only the image with this id; may be repeated")] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Try the failed images of a finished batch again, all or some."""
    with connected(url, api_key) as client:
        count = client.retry(request_id, codes=code or (), hosts=host or (), image_ids=image or ())
    if as_json:
        print_json({"retried_images": count})
    else:
        print_line(f"images that are tried again: {count}; pressroom watch {request_id}")


@app.command()
def download(
    request_id: BatchId,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed, to be uploaded again")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Every number, one JSON object an image")] = False,
    xlsx: Annotated[bool, typer.Option("--xlsx", help="As an Excel workbook, if the sheet was one")] = False,
    html: Annotated[bool, typer.Option("--html", help="One page for people")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where it goes; - is standard output", show_default=False)
    ] = None,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Download the result of a batch."""
    chosen: list[FileKind] = []
    for kind, is_chosen in (("failed", failed), ("jsonl", jsonl), ("xlsx", xlsx), ("html", html)):
        chosen += [kind] if is_chosen else []  # type: ignore[list-item]
    if len(chosen) > 1:
        raise typer.BadParameter("choose one of --failed, --jsonl, --xlsx and --html")
    kind_: FileKind = chosen[0] if chosen else "output"
    names = {"output": "output.csv", "failed": "failed.csv", "jsonl": "results.jsonl", "xlsx": "output.xlsx"}
    with connected(url, api_key) as client:
        content = client.batch(request_id).read(kind_)
        if output == Path("-"):
            sys.stdout.buffer.write(content)
            return
        target = output or Path(names.get(kind_, "report.html"))
        target.write_bytes(content)
    print_line(str(target))


@app.command()
def login(url: Url = None, api_key: Key = None) -> None:
    """Store URL and API key, after trying them."""
    given_url = url or os.environ.get("PRESSROOM_URL") or typer.prompt("URL", default=DEFAULT_URL, err=True)
    given_key = api_key or os.environ.get("PRESSROOM_API_KEY")
    if given_key is None and is_terminal():
        given_key = (
            typer.prompt("API key (empty: none)", default="", hide_input=True, show_default=False, err=True) or None
        )
    with connected(given_url, given_key) as client:
        who = client.whoami()
        path = config_path(os.environ)
        store_settings(path, given_url, given_key)
    say(f"You are {who.owner or 'everybody: this deployment has no keys'}; stored in {path}")


@app.command()
def whoami(url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Say whose key this is, and what it may do."""
    with connected(url, api_key) as client:
        who = client.whoami()
    if as_json:
        print_json(who)
        return
    print_line(f"{who.owner or 'everybody (no keys)'}: {', '.join(who.scopes)}")


@app.command()
def limits(url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """List the limits of the service, quotas with their use."""
    with connected(url, api_key) as client:
        found = client.limits()
    if as_json:
        print_json(found)
        return
    rows = [(one.name, str(one.value), one.unit, "" if one.use is None else str(one.use), one.meaning) for one in found]
    print_table(("NAME", "VALUE", "UNIT", "USED", "MEANING"), rows)


def _upload(client: Pressroom, sheet: Path, options: dict[str, Any]) -> Batch:
    try:
        return client.compress(sheet, **options)
    except SheetInvalidError as error:
        for problem in error.problems:
            say(problem_line(str(sheet), problem))
        say("pressroom: --skip-bad-rows works on the good rows; `pressroom check --fix` writes a corrected sheet.")
        raise typer.Exit(USAGE) from error


def _wait(batch: Batch, *, silent: bool) -> Summary:
    try:
        with progress(silent=silent) as shown:
            return batch.wait(on_progress=shown)
    except KeyboardInterrupt:
        say(f"The batch goes on: pressroom watch {batch.request_id}")
        raise typer.Exit(INTERRUPTED) from None


def _tell_end(summary: Summary, target: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"batch": summary, "output": None if target is None else str(target)})
        return
    counts = summary.counts
    say(f"{summary.status}: {counts.succeeded} of {counts.total} images, {counts.failed} failed, {saved(summary)}")
    print_line(summary.request_id if target is None else str(target))


def main() -> None:
    """Run the command."""
    app()


__all__ = ["Wiring", "app", "main"]
