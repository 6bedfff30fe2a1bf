"""An image that was never booted holds no identity, no secret and no leftovers of its making."""

import pytest
from testinfra.host import Host

pytestmark = pytest.mark.sealed


def found(host: Host, *patterns: str) -> list[str]:
    """The files that match the shell patterns."""
    paths: list[str] = host.check_output("ls -1d " + " ".join(patterns) + " 2>/dev/null; true").splitlines()
    return paths


def test_it_has_no_ssh_host_key(host: Host) -> None:
    assert found(host, "/etc/ssh/ssh_host_*") == []


def test_its_machine_id_is_to_be_made(host: Host) -> None:
    machine_id = host.file("/etc/machine-id")
    assert machine_id.exists
    assert machine_id.content_string.strip() in ("", "uninitialized")
    assert found(host, "/var/lib/dbus/machine-id") == [] or host.file("/var/lib/dbus/machine-id").is_symlink


def test_it_has_no_random_seed(host: Host) -> None:
    assert found(host, "/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret") == []


def test_it_lets_no_key_in(host: Host) -> None:
    assert found(host, "/root/.ssh/authorized_keys", "/home/*/.ssh/authorized_keys") == []


def test_nobody_has_a_history(host: Host) -> None:
    assert found(host, "/root/.*_history", "/home/*/.*_history", "/root/.ansible", "/home/*/.ansible") == []


def test_cloud_init_has_not_run(host: Host) -> None:
    assert found(host, "/var/lib/cloud/instance", "/var/lib/cloud/instances/*") == []


def test_no_package_list_or_archive_is_left(host: Host) -> None:
    assert found(host, "/var/lib/apt/lists/*_*", "/var/cache/apt/archives/*.deb", "/var/cache/apt/*.bin") == []
    assert found(host, "/var/cache/ingot", "/root/.cache/*") == []


def test_no_build_tree_is_left(host: Host) -> None:
    assert found(host, "/var/lib/dkms/*/*/build", "/var/lib/dkms/*/*/*/*/log/make.log", "/tmp/*", "/var/tmp/*") == []


def test_no_log_is_left(host: Host) -> None:
    assert host.check_output("find /var/log -type f -size +0") == ""


def test_the_first_boot_does_not_take_itself_for_an_update(host: Host) -> None:
    assert found(host, "/etc/.updated", "/var/.updated") == ["/etc/.updated", "/var/.updated"]
    assert host.check_output("find /usr -maxdepth 0 -newer /etc/.updated -o -maxdepth 0 -newer /var/.updated") == ""
