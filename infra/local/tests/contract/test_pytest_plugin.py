"""The pytest plugin as a stranger's test suite meets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from readme_tables import readme_blocks

pytest_plugins = ["pytester"]

FIRST = """
GREETING = '''
main:
  params: [args]
  steps:
    - greet: {return: '${"Hello " + args.name}'}
'''


def test_greets(localcloud):
    name = localcloud.deploy(GREETING)
    assert localcloud.run(name, {"name": "you"}) == "Hello you"


def test_is_told_what_failed(localcloud):
    localcloud.run(localcloud.deploy(GREETING), {})
"""
OTHER = """
import pytest


@pytest.fixture(scope="session")
def localcloud_options():
    from localcloud.testing import LocalCloudOptions

    return LocalCloudOptions(project="shop", location="europe-west1", allow_unemulated=True)
"""


def test_fixture_is_there_without_a_word_in_a_conftest(pytester: pytest.Pytester) -> None:
    """A failing execution fails its test with the error of the workflow."""
    pytester.makepyfile(FIRST)

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*WorkflowFailedError: *key not found: name*"])


def test_program_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    """As it is printed."""
    [program] = readme_blocks("py")
    pytester.makepyfile(program)

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_first_test_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    """With the workflow above it, in the folder that it names."""
    [workflow], [program] = readme_blocks("yaml")[:1], readme_blocks("pytest")
    pytester.mkdir("workflows").joinpath("greeting.yaml").write_text(workflow)
    pytester.makepyfile(program)

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_options_are_changed_by_a_fixture(pytester: pytest.Pytester) -> None:
    """Of the session, in a conftest."""
    pytester.makeconftest(OTHER)
    pytester.makepyfile(
        "def test_place(localcloud):\n"
        '    name = localcloud.deploy(\'- a: {return: "${sys.get_env(\\\\"GOOGLE_CLOUD_PROJECT_ID\\\\")}"}\\n\')\n'
        "    assert localcloud.run(name) == 'shop'\n"
        "    localcloud.deploy('- a: {call: googleapis.bigquery.v2.jobs.query}\\n')\n"
    )

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_suite_that_does_not_use_it_does_not_load_it() -> None:
    """The emulators take a second to load."""
    code = "import localcloud.pytest_plugin, sys; print({'grpc', 'aiohttp', 'localcloud.testing'} & sys.modules.keys())"

    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert said.strip() == "set()"
