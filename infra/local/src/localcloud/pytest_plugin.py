"""The pytest plugin: the fixture `localcloud`, one server for all tests, brought back to its start before each.

Nothing of the emulators is loaded until a test asks for the fixture. To start with other options, define the fixture
`localcloud_options` (session scope) in a conftest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from localcloud.testing import LocalCloud, LocalCloudOptions


@pytest.fixture(scope="session")
def localcloud_options() -> LocalCloudOptions:
    """What the server is started with; define it again to change that."""
    from localcloud.testing import LocalCloudOptions

    return LocalCloudOptions()


@pytest.fixture(scope="session")
def localcloud_server(localcloud_options: LocalCloudOptions) -> Iterator[LocalCloud]:
    """The emulators of the whole test run."""
    from localcloud.testing import LocalCloud

    with LocalCloud(localcloud_options) as server:
        yield server


@pytest.fixture
def localcloud(localcloud_server: LocalCloud) -> LocalCloud:
    """The emulators without workflows, mocks, tasks or faults: `deploy`, `run`, `start`, `mock`, `clock`, clients."""
    localcloud_server.reset()
    return localcloud_server
