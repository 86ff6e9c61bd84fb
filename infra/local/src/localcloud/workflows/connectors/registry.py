"""All connector methods there are for a server; a workflow that calls any other one is refused when it is deployed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache

from localcloud.workflows.connectors import cloudtasks
from localcloud.workflows.connectors.discovered import discovered_method, service_of, table_of
from localcloud.workflows.connectors.executions import executions_methods
from localcloud.workflows.connectors.mocks import Mocks
from localcloud.workflows.connectors.secretmanager import secretmanager_methods
from localcloud.workflows.connectors.storage import storage_methods
from localcloud.workflows.connectors.waiting import connector
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import ConnectorMethod, Host
from localcloud.workflows.values import Value

_PREFIX = "googleapis."


@cache
def connector_methods() -> Mapping[str, ConnectorMethod]:
    """Return the connectors of the services that localcloud has servers for, by full name."""
    return {
        **{method.name: connector(method) for method in cloudtasks.METHODS},
        **executions_methods(),
        **secretmanager_methods(),
        **storage_methods(),
    }


class Connectors(Mapping[str, ConnectorMethod]):
    """The connectors that executions of one server may call, by full name `googleapis.SERVICE.VERSION.METHOD`.

    A connector is there when it has a mock, when its service has an address, or when all may be deployed.

    Args:
        addresses: services that have a local server; may grow later.
        mocks: connectors with answers, beside the others and instead of them; may grow later.
        allows_unemulated: connectors without an address deploy, and fail when they are called.
        own: services whose server is localcloud's: it has the methods that are written by hand only.
    """

    def __init__(
        self,
        addresses: Collection[str],
        mocks: Mocks | None = None,
        *,
        allows_unemulated: bool = False,
        own: Collection[str] = (),
    ) -> None:
        self._addresses = addresses
        self._own = own
        self._mocks = mocks or Mocks()
        self._allows_unemulated = allows_unemulated

    def __getitem__(self, name: str) -> ConnectorMethod:
        found = self._mocks.connector(name) or self._addressed(name)
        if found is None and self._allows_unemulated and name.startswith(_PREFIX):
            return _not_emulated(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the mocks and the connectors that are written by hand; those of the tables are too many to list."""
        yield from self._mocks.names()
        yield from (name for name in connector_methods() if service_of(name) in self._addresses)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def notes(self, names: Collection[str]) -> list[str]:
        """Return what a person should know about the connectors of a program that deploys."""
        notes = []
        for name in sorted(names):
            if self._mocks.connector(name) is not None:
                continue
            table = table_of(name)
            if self._addressed(name) is None:
                notes.append(f"'{name}' is not emulated: the call will fail")
            elif table is not None and not table.is_listed:
                notes.append(f"'{service_of(name)}' is not on Google's list of connectors: production may refuse it")
        return notes

    def _addressed(self, name: str) -> ConnectorMethod | None:
        if service_of(name) not in self._addresses:
            return None
        if (own := connector_methods().get(name)) is not None:
            return own
        method = None if service_of(name) in self._own else discovered_method(name)
        return None if method is None else connector(method)


class EveryConnector(Collection[str]):
    """The names of all connectors that Google has, wherever their services are; for checks without a server.

    Args:
        takes_unknown: any name of a connector is one, since Google may have more than the discovery documents.
    """

    def __init__(self, *, takes_unknown: bool = False) -> None:
        self._takes_unknown = takes_unknown

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        is_known = name in connector_methods() or discovered_method(name) is not None
        return is_known or (self._takes_unknown and name.startswith(_PREFIX))

    def __iter__(self) -> Iterator[str]:
        yield from connector_methods()

    def __len__(self) -> int:
        return len(connector_methods())


def _not_emulated(name: str) -> ConnectorMethod:
    async def fail(_host: Host, _arguments: Mapping[str, Value]) -> Value:
        raise WorkflowError({"message": f"localcloud does not emulate '{name}'", "tags": ["NotEmulatedError"]})

    return fail
