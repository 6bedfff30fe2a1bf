"""Slurm, Enroot and pyxis are built of the lock's sources; on Debian 13 Debian's real Slurm loads pyxis."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.rigs.locks import locked, with_entry
from tests.rigs.places import Make, Serve, ask, converge, converged, converged_twice, places
from tests.rigs.suite import suite
from tests.rigs.systems import docker, image, prepared

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["slurm", "enroot", "pyxis"]
OTHERS = ["ubuntu2204"]
NAMES = ["ubuntu2404", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
CUT_OFF = "/run/ingot-rig-cut-off"
# What takes most of a role's time; the roles themselves install it where a test is slow.
NEEDED = (
    *("libdbus-1-dev", "libhwloc-dev", "libjson-c-dev", "liblz4-dev", "libmunge-dev", "libnuma-dev", "libpam0g-dev"),
    *("gawk", "jq", "libpmix-dev", "libreadline-dev", "munge", "parallel", "pkg-config", "squashfs-tools", "zstd"),
)


def shown(system: str) -> str:
    """The image of a system, with what takes most of a role's time on the one that is tested most."""
    return prepared(system, NEEDED) if system == "ubuntu2404" else image(system)


@pytest.fixture
def place(serve: Serve) -> Iterator[Make]:
    """Vendors of a lock, and a container that presents itself as its system."""
    with places(serve, shown) as made:
        yield made


def left(host: str) -> str:
    """What of a vendor's files and of builds lies about."""
    return ask(host, "find /dev/shm/ingot-files /var/tmp -mindepth 1")


@pytest.mark.parametrize("name", NAMES)
def test_slurm_enroot_and_pyxis_are_as_the_lock_has_them_and_a_second_time_changes_nothing(
    place: Make, name: str
) -> None:
    vendors, host = place(locked(name))
    checked = converge(host, vendors, *ROLES, check=True)
    assert checked.returncode == 0, checked.stdout
    assert "+25.11.8" in checked.stdout
    assert ask(host, "ls /opt") == ""
    converged_twice(host, vendors, *ROLES)
    assert left(host) == ""
    # As sysprep does: Debian's family makes a key when munge is installed.
    ask(host, "rm -f /etc/munge/munge.key")
    verified = suite(host, vendors.lock_file, ROLES)
    assert verified.returncode == 0, verified.stdout
    # What the manifest and the doctor find is what was built.
    converged(host, vendors, "manifest", manifest_components=ROLES)
    # At boot; the simulated srun loads plugins, and only of its own version.
    ask(
        host,
        "/usr/lib/ingot/slurm-node && grep -qx 'NodeName=.* NodeAddr=127.0.0.1 CPUs=2 .*' /opt/slurm/etc/node.conf",
    )
    assert "--container-image=" in ask(host, "/opt/slurm/bin/srun --help")
    # As every user's enroot evaluates it; a mount without privileges is one that is there.
    find = "/usr/lib/ingot/enroot-storage; readlink /run/enroot/storage"
    assert ask(host, find) == "/var/lib/enroot"
    ask(host, "sed -i 's|/scratch|/dev/shm|' /usr/lib/ingot/enroot-storage")
    assert ask(host, find) == "/dev/shm/enroot"
    settings = "sed -n 's/^ENROOT_DATA_PATH *//p' /etc/enroot/enroot.conf.d/50-ingot.conf"
    mine = f'data=$(eval echo "$({settings})"); mkdir -p "$data"; echo "$data"'
    found = docker("exec", "--user", "nobody", host, "sh", "-euc", mine).strip()
    assert found == "/run/enroot/storage/data/user-65534"


# What Slurm is built with is of the systems' own archives, which the rig has of apt's family only.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["al2023", "rocky9", "rhel9"])
def test_enroot_is_as_the_lock_has_it_where_packages_are_of_rpm(place: Make, name: str) -> None:
    vendors, host = place(locked(name))
    converged_twice(host, vendors, "enroot")
    verified = suite(host, vendors.lock_file, ["enroot"])
    assert verified.returncode == 0, verified.stdout


@pytest.mark.slow
def test_another_slurm_is_built_and_pyxis_with_it(place: Make) -> None:
    lock = locked("ubuntu2404")
    vendors, host = place(lock)
    assert converge(host, vendors, "slurm", "pyxis").returncode == 0
    ask(host, "/usr/lib/ingot/slurm-node")
    plugin = "stat -c %i /usr/local/lib/slurm/spank_pyxis.so"
    before = ask(host, plugin)
    later, _ = place(with_entry(lock, "slurm", version="26.5.3"))
    done = converge(host, later, "slurm")
    assert done.returncode == 0, done.stdout
    refused = subprocess.run(
        ["docker", "exec", host, "/opt/slurm/bin/srun"], capture_output=True, text=True, check=False
    )
    assert "Incompatible" in refused.stderr
    done = converge(host, later, "pyxis")
    assert done.returncode == 0, done.stdout
    assert ask(host, plugin) != before
    assert "--container-image=" in ask(host, "/opt/slurm/bin/srun")
    assert ask(host, "cat /usr/local/share/pyxis/ingot-built") == "pyxis 0.24.0, slurm 26.5.3"


@pytest.mark.slow
@pytest.mark.parametrize("role", ["slurm", "pyxis"])
def test_a_build_that_was_cut_off_is_done_again(place: Make, role: str) -> None:
    vendors, host = place(locked("ubuntu2404"))
    if role == "pyxis":
        assert converge(host, vendors, "slurm").returncode == 0
    ask(host, f"touch {CUT_OFF}")
    done = converge(host, vendors, role)
    assert done.returncode != 0
    assert f"test ! -e {CUT_OFF}" in done.stdout
    assert left(host) == ""
    ask(host, "test ! -e /opt/slurm/etc/plugstack.conf.d/pyxis.conf")
    ask(host, f"rm {CUT_OFF}")
    done = converge(host, vendors, role)
    assert done.returncode == 0, done.stdout
    assert ask(host, "/opt/slurm/sbin/slurmd -V") == "slurm 25.11.8"


def test_the_slurm_of_parallelcluster_is_left_alone(place: Make) -> None:
    vendors, host = place(locked("ubuntu2404"))
    ask(host, "mkdir -p /opt/parallelcluster && echo 3.16.3 >/opt/parallelcluster/.bootstrapped")
    done = converge(host, vendors, "slurm")
    assert "changed=0 " in done.stdout, done.stdout
    assert "left alone" in done.stdout


def test_pyxis_without_slurm_is_refused_in_one_sentence(place: Make) -> None:
    vendors, host = place(locked("ubuntu2404"))
    done = converge(host, vendors, "pyxis")
    assert done.returncode != 0
    assert "apply ingot.ml.slurm first" in done.stdout


@pytest.mark.slow
def test_debians_own_slurm_loads_the_plugin(place: Make) -> None:
    lock = locked("debian13")
    parts = {"slurm": lock.components["slurm"], "pyxis": locked("ubuntu2404").components["pyxis"]}
    left_out = {name: why for name, why in lock.left_out.items() if name != "pyxis"}
    lock = lock.model_copy(update={"components": parts, "left_out": left_out})
    vendors, host = place(lock)
    converged_twice(host, vendors, "slurm", "pyxis")
    version = lock.components["slurm"].version
    assert ask(host, "cat /usr/local/share/pyxis/ingot-built") == f"pyxis 0.24.0, slurm {version}"
    ask(host, "/usr/lib/ingot/slurm-node")
    assert "--container-image=[USER@]" in ask(host, "srun --help")
    # A setting that the plugin refuses: without it Slurm starts nothing.
    ask(host, "sed -i 's|$| wrong=1|' /etc/slurm/plugstack.conf.d/pyxis.conf")
    refused = subprocess.run(["docker", "exec", host, "srun", "--help"], capture_output=True, text=True, check=False)
    assert "unknown configuration option" in refused.stderr
