"""The commands about webhooks."""

from __future__ import annotations

from typing import Annotated

import typer

from pressroom.cli.display import print_json, print_line, print_table, say
from pressroom.cli.options import AsJson, Key, Url, connected
from pressroom.cli.receiver import Receiver

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Endpoints that are told what becomes of batches.")

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Id of an endpoint", show_default=False)]


@app.command("list")
def list_(url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """List the endpoints."""
    with connected(url, api_key) as client:
        found = list(client.endpoints())
    if as_json:
        print_json(found)
        return
    rows = [
        (one.id, "on" if one.enabled else one.disabled_reason or "off", one.url, ", ".join(one.event_types or ["all"]))
        for one in found
    ]
    print_table(("ID", "STATE", "URL", "EVENTS"), rows)


@app.command()
def add(
    target: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent", show_default=False)],
    event: Annotated[list[str] | None, typer.Option(help="An event that is wanted; may be repeated; all")] = None,
    description: Annotated[str, typer.Option(help="For people", show_default=False)] = "",
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Subscribe a URL, and write its secret, this once."""
    with connected(url, api_key) as client:
        made = client.add_endpoint(target, event_types=event, description=description)
    if as_json:
        print_json(made)
        return
    print_line(f"{made.id}\t{made.secret}")
    say("The secret is not shown again.")


@app.command("test")
def send_test(endpoint_id: EndpointId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Send a signed test event."""
    with connected(url, api_key) as client:
        sent = client.test_endpoint(endpoint_id)
    print_json(sent) if as_json else print_line(sent.id)


@app.command()
def rotate(endpoint_id: EndpointId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Make a new secret; the one before it signs too for a while."""
    with connected(url, api_key) as client:
        made = client.rotate_secret(endpoint_id)
    print_json(made) if as_json else print_line(made.secret)


@app.command()
def redeliver(
    endpoint_id: EndpointId,
    since: Annotated[str, typer.Option(help="RFC 3339, e.g. 2026-11-29T00:00:00Z", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Also those that were delivered")] = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send the events since a time again, under their old ids."""
    with connected(url, api_key) as client:
        count = client.redeliver(endpoint_id, since=since, only_failed=not every)
    print_json({"redelivered": count}) if as_json else print_line(f"{count} events are sent again")


@app.command()
def listen(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0: any")] = 0,
    public_url: Annotated[
        str | None, typer.Option(help="How the service reaches this port, e.g. a tunnel", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0: never")] = 0,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show events as they come: subscribes this machine until Ctrl-C."""
    with connected(url, api_key) as client, Receiver(port) as receiver:
        endpoint = client.add_endpoint(public_url or receiver.url, description="pressroom webhooks listen")
        say(f"listening at {public_url or receiver.url}; Ctrl-C ends it")
        try:
            for number, event in enumerate(receiver.events(endpoint.secret), 1):
                if as_json:
                    print_json(event)
                else:
                    print_line(f"{event.get('timestamp')}\t{event.get('type')}\t{event.get('request_id')}")
                if number == count:
                    break
        except KeyboardInterrupt:
            say("stopped")
        finally:
            client.delete_endpoint(endpoint.id)
