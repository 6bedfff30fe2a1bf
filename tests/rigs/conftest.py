"""Prints what the tests of roles have seen, at the end of a run that has some."""

from collections.abc import Iterator

import pytest

from tests.rigs import kernels
from tests.rigs.places import Make, Serve, places, served
from tests.rigs.report import Report
from tests.rigs.seen import SEEN
from tests.rigs.systems import container, image
from tests.rigs.vendors import Vendors

REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()
    config.pluginmanager.register(Collector(config.stash[REPORT]))


@pytest.fixture(scope="module")
def serve(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """The vendors of a lock, for the roles that the module lists."""
    with served(request.module.ROLES, lambda: tmp_path_factory.mktemp("rig")) as made:
        yield made


@pytest.fixture
def place(serve: Serve) -> Iterator[Make]:
    """Vendors of a lock, and a container that presents itself as its system."""
    with places(serve) as made:
        yield made


@pytest.fixture(scope="session")
def release() -> str:
    """The release of the kernel that modules are built for: the one whose headers the rig's image has."""
    return kernels.release()


@pytest.fixture
def host(vendors: Vendors) -> Iterator[str]:
    """A container that presents itself as the system of the module's vendors, which are without faults."""
    vendors.faults.clear()
    with container(image(vendors.lock.os)) as name:
        yield name


@pytest.fixture
def working_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible works where Packer lets it work: sysprep takes away the folder that it would otherwise use."""
    monkeypatch.setenv("ANSIBLE_REMOTE_TMP", "/dev/shm/ingot")


class Collector:
    """Hears of the tests of every worker."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what the test has noted."""
        self._report.add(report)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    SEEN.begin(item)
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    report = config.stash[REPORT]
    if not report.steps and not report.faults:
        return
    terminalreporter.section("roles by system, and roles by fault")
    for line in report.lines():
        terminalreporter.write_line(line)
    report.write()
