"""An image that was never booted holds no identity, no secret and no leftovers of its making; a machine has its own."""

from collections.abc import Callable, Iterable

import pytest
from testinfra.host import Host

from tests.image.leftovers import IDENTITY, TRACES


def found(host: Host, *patterns: str) -> list[str]:
    """The files that match the shell patterns."""
    paths: list[str] = host.check_output("ls -1d " + " ".join(patterns) + " 2>/dev/null; true").splitlines()
    return paths


@pytest.mark.sealed
@pytest.mark.parametrize("patterns", [IDENTITY, TRACES], ids=["identity", "traces"])
def test_nothing_of_the_machine_that_made_it_is_left(host: Host, patterns: Iterable[str]) -> None:
    left = found(host, *patterns)
    assert not left, "\n".join(left)


@pytest.mark.booted
@pytest.mark.finished
def test_what_tells_machines_apart_was_made_after_the_image(older_than_the_image: Callable[..., list[str]]) -> None:
    assert older_than_the_image(*IDENTITY) == []


@pytest.mark.sealed
def test_its_machine_id_is_to_be_made(host: Host) -> None:
    machine_id = host.file("/etc/machine-id")
    assert machine_id.exists
    assert machine_id.content_string.strip() in ("", "uninitialized")
    assert found(host, "/var/lib/dbus/machine-id") == [] or host.file("/var/lib/dbus/machine-id").is_symlink


@pytest.mark.sealed
def test_no_package_list_or_archive_is_left(host: Host) -> None:
    assert found(host, "/var/lib/apt/lists/*_*", "/var/cache/apt/archives/*.deb", "/var/cache/apt/*.bin") == []
    assert found(host, "/var/cache/ingot") == []


@pytest.mark.sealed
def test_no_build_tree_is_left(host: Host) -> None:
    assert found(host, "/var/lib/dkms/*/*/build", "/var/lib/dkms/*/*/*/*/log/make.log") == []


@pytest.mark.sealed
def test_no_log_is_left(host: Host) -> None:
    assert host.check_output("find /var/log -type f -size +0") == ""


@pytest.mark.sealed
def test_the_first_boot_does_not_take_itself_for_an_update(host: Host) -> None:
    assert found(host, "/etc/.updated", "/var/.updated") == ["/etc/.updated", "/var/.updated"]
    assert host.check_output("find /usr -maxdepth 0 -newer /etc/.updated -o -maxdepth 0 -newer /var/.updated") == ""
