"""EFA and its plugin for NCCL come from AWS' installer, verified, whole, and again where it was cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs.faults import Fault, answers
from tests.rigs.kernels import with_kernel
from tests.rigs.locks import locked, with_entry
from tests.rigs.places import converge, converged_twice
from tests.rigs.suite import suite
from tests.rigs.systems import container, docker, gateway, image
from tests.rigs.vendors import Vendors, serving
from tests.signing import Key

pytestmark = [pytest.mark.docker, pytest.mark.network]

LIST = "/opt/amazon/efa_installed_packages"
UNFINISHED = "/opt/amazon/.efa-unfinished"
WORK = "/var/cache/ingot-efa /var/cache/ingot-aws-ofi-nccl /opt/amazon/.ofi-nccl"
INSTALLER = "aws-efa-installer-1.50.0.tar.gz"
slow = pytest.mark.slow
# The first runs by default.
SYSTEMS = ["ubuntu2404", *(pytest.param(name, marks=slow) for name in ("ubuntu2204", "al2023", "rocky9", "rhel9"))]
# Kills apt-get between rdma-core and the other packages.
KILL = 'DPkg::Post-Invoke { "kill -9 $(pgrep -o apt-get)"; };'


@pytest.fixture(scope="module", params=SYSTEMS)
def name(request: pytest.FixtureRequest) -> str:
    """The system that is converged."""
    return str(request.param)


@contextmanager
def aws(folder: Path, lock: Lock) -> Iterator[Vendors]:
    """AWS, as a lock has it, served where containers reach it."""
    kernel = with_kernel(lock).components["kernel"]
    with serving(lock, ["efa", "aws_ofi_nccl"], folder / "vendors", gateway(), {"kernel": kernel}) as made:
        yield made


@pytest.fixture(scope="module")
def vendors(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """AWS, as the newest lock of the system has it."""
    with aws(tmp_path_factory.mktemp("rig"), locked(name)) as made:
        yield made


def sh(host: str, script: str) -> str:
    """What a script says in the container, after a login of root."""
    return docker("exec", host, "bash", "-lc", script)


def installed(host: str) -> set[str]:
    """The packages of AWS that are there, as the package manager says it; none of the installer's own files."""
    listed = "if [ -e /etc/debian_version ]; then dpkg-query -W -f '${Package}\\n'; else rpm -qa --qf '%{NAME}\\n'; fi"
    return {
        each
        for each in sh(host, listed).split()
        if each.startswith(("efa", "libibverbs", "libnccl-ofi")) or "-aws" in each
    }


def leftovers(host: str) -> str:
    """What roles make and remove again."""
    return sh(host, f"ls -d {WORK} {UNFINISHED} /dev/shm/ingot-files/* 2>/dev/null; true")


@pytest.mark.slow
def test_a_container_gets_the_libraries_and_nothing_of_its_hosts(host: str, vendors: Vendors) -> None:
    first = converge(host, vendors, "efa", check=True)
    assert first.returncode == 0, first.stdout
    assert (installed(host), leftovers(host)) == (set(), "")
    converged_twice(host, vendors, "efa")
    packages = sh(host, f"cat {LIST}")
    assert f"# EFA installer version: {vendors.lock.components['efa'].version}\n" in packages
    assert {"openmpi40-aws", "openmpi50-aws", "libnccl-ofi"} <= installed(host)
    assert not {"efa", "efa-config", "efa-nv-peermem"} & installed(host)
    assert "FABRIC_1.0" in sh(host, "readelf --dyn-syms --wide $(ldconfig -p | awk '/libfabric.so.1 /{print $NF}')")
    assert leftovers(host) == ""


def test_the_installer_finds_the_systems_packages_on_a_host_without_package_lists(
    name: str, host: str, vendors: Vendors
) -> None:
    if not name.startswith("ubuntu"):
        pytest.skip("dnf fetches lists by itself")
    sh(host, "apt-get purge -qq --yes pciutils >/dev/null && rm -rf /var/lib/apt/lists/*")
    done = converge(host, vendors, "efa")
    assert done.returncode == 0, done.stdout[-6000:]
    assert "libnccl-ofi" in installed(host)


def test_an_image_in_the_making_gets_the_module_for_its_own_kernel_and_passes_the_suite(
    host: str, vendors: Vendors, release: str
) -> None:
    roles = ["kernel", "efa", "aws_ofi_nccl"]
    converged_twice(host, vendors, "efa", "aws_ofi_nccl", ingot_roles=roles)
    assert sh(host, f"modinfo -k {release} -F version efa").strip() == "3.3.0g"
    # There is no driver of NVIDIA's, that the latter would ask for.
    assert {"efa", "efa-config"} == installed(host) & {"efa", "efa-config", "efa-nv-peermem"}
    verified = suite(host, vendors.lock_file, roles, ["efa", "aws_ofi_nccl"])
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("fault", answers("altered", "truncated", "404"))
def test_an_installer_that_is_not_the_locks_is_refused_and_nothing_is_installed(
    host: str, vendors: Vendors, fault: Fault
) -> None:
    vendors.faults[INSTALLER] = [fault]
    done = converge(host, vendors, "efa")
    assert done.returncode != 0
    assert f"Fetch {INSTALLER} of efa" in done.stdout
    assert ("404" if fault == 404 else "did not match") in done.stdout
    assert (installed(host), leftovers(host), sh(host, "ls /opt")) == (set(), "", "")
    assert converge(host, vendors, "efa").returncode == 0
    assert "libnccl-ofi" in installed(host)


@pytest.fixture
def served(vendors: Vendors) -> Iterator[Path]:
    """Where the installer, its signature and its key are served from; as it was afterwards."""
    folder = vendors.folder / "served" / "files" / "efa"
    before = {file: file.read_bytes() for file in folder.iterdir()}
    yield folder
    for file, content in before.items():
        file.write_bytes(content)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Key]:
    """Another key than the vendor's."""
    with Key(tmp_path / "other") as key:
        yield key


def refused(host: str, vendors: Vendors, said: str) -> None:
    """The role refuses, says why, and leaves nothing."""
    done = converge(host, vendors, "efa")
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split())
    assert (installed(host), leftovers(host), sh(host, "ls /opt")) == (set(), "", "")


@pytest.mark.slow
def test_a_signature_by_another_key_is_refused_though_the_digest_is_right(
    host: str, vendors: Vendors, served: Path, other: Key
) -> None:
    (served / f"{INSTALLER}.sig").write_bytes(other.detached((served / INSTALLER).read_bytes()))
    pinned = vendors.lock.components["efa"].artifact
    assert pinned
    refused(host, vendors, f"{INSTALLER} is not signed by {pinned.key_fingerprint}, the key of the lock")


@pytest.mark.slow
def test_a_signature_of_another_file_is_refused(host: str, vendors: Vendors, served: Path) -> None:
    vendors.faults[f"{INSTALLER}.sig"] = ["truncated"]
    refused(host, vendors, f"{INSTALLER} is not signed by")


@pytest.mark.slow
def test_another_key_than_the_locks_is_refused_before_it_is_trusted(
    host: str, vendors: Vendors, served: Path, other: Key
) -> None:
    (served / "key.asc").write_bytes(other.public)
    pinned = vendors.lock.components["efa"].artifact
    assert pinned
    refused(
        host, vendors, f"is {other.fingerprint}, not {pinned.key_fingerprint}, which the lock names for {INSTALLER}"
    )


@pytest.mark.slow
def test_a_key_that_has_expired_is_refused(host: str, vendors: Vendors, served: Path, tmp_path: Path) -> None:
    with Key(tmp_path / "expired", expired=True) as expired:
        (served / "key.asc").write_bytes(expired.public)
        (served / f"{INSTALLER}.sig").write_bytes(expired.detached((served / INSTALLER).read_bytes()))
    refused(host, pinned_to(vendors, tmp_path, expired.fingerprint), "This key has expired!")


def pinned_to(vendors: Vendors, folder: Path, fingerprint: str) -> Vendors:
    """The vendors with another key in the lock."""
    entry = vendors.lock.components["efa"]
    assert entry.artifact
    artifact = entry.artifact.model_copy(update={"key_fingerprint": fingerprint})
    lock = with_entry(vendors.lock, "efa", artifact=artifact)
    changed = Vendors(folder, vendors.url, lock, vendors.faults)
    changed.lock_file.write_text(locks.dump(changed.lock))
    return changed


def test_an_installer_that_was_killed_is_run_again(name: str, host: str, vendors: Vendors) -> None:
    if not name.startswith("ubuntu"):
        pytest.skip("apt is what is killed")
    sh(host, f"echo '{KILL}' > /etc/apt/apt.conf.d/99kill")
    done = converge(host, vendors, "efa")
    assert done.returncode != 0
    assert "Run the EFA installer with" in done.stdout
    assert "libibverbs1" in installed(host)
    assert leftovers(host).split() == [UNFINISHED]
    sh(host, "rm /etc/apt/apt.conf.d/99kill")
    assert converge(host, vendors, "efa").returncode == 0
    assert "libnccl-ofi" in installed(host)
    assert leftovers(host) == ""


@pytest.mark.slow
def test_a_running_system_gets_all_of_it_and_an_installer_that_failed_late_is_run_again(
    name: str, host: str, vendors: Vendors, release: str
) -> None:
    """The installer fails when it has written what it has installed, and the role does not believe that."""
    if not name.startswith("ubuntu"):
        pytest.skip("the kernel is made up of packages of apt")
    kernel = sh(host, "uname -r").strip()
    for package in (f"linux-image-{kernel}", f"linux-headers-{kernel}"):
        control = f"Package: {package}\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody\\nDescription: made up\\n"
        sh(host, f"mkdir -p /root/p/DEBIAN && printf '{control}' > /root/p/DEBIAN/control")
        sh(host, "dpkg-deb -b /root/p /root/p.deb && dpkg -i /root/p.deb && rm -r /root/p*")
    drivers = f"/lib/modules/{kernel}/kernel/drivers/infiniband/core"
    sh(host, f"mkdir -p {drivers} && touch {drivers}/ib_uverbs.ko")
    initramfs = "/usr/local/sbin/update-initramfs"
    sh(host, f"printf '#!/bin/sh\\nexit 1\\n' > {initramfs} && chmod +x {initramfs}")
    given: dict[str, Any] = {"efa_kmod": True, "efa_kernel": release, "efa_nvidia": True}
    done = converge(host, vendors, "efa", **given)
    assert done.returncode != 0
    assert "failed to generate new initramfs image" in done.stdout
    assert "EFA installer version: 1.50.0" in sh(host, f"cat {LIST}")
    sh(host, f"printf '#!/bin/sh\\ntouch /root/made\\n' > {initramfs}")
    converged_twice(host, vendors, "efa", **given)
    assert sh(host, "ls /root/made")
    assert leftovers(host) == ""
    assert {"efa", "efa-nv-peermem"} <= installed(host)
    assert "efa_3.3.0-1.amzn1" in sh(host, f"cat {LIST}")


@pytest.mark.slow
def test_the_suite_knows_a_libfabric_that_lists_its_provider_only_where_there_is_a_device(
    name: str, host: str, tmp_path: Path
) -> None:
    lock = locked(name)
    facts = {**lock.components["efa"].facts, "libfabric": "1.18.1amzn1.0"}
    with aws(tmp_path, with_entry(lock, "efa", facts=facts)) as older:
        done = converge(host, older, "efa")
        assert done.returncode == 0, done.stdout[-6000:]
        assert "efa:" not in sh(host, "fi_info --list")
        # A container has no kernel to make the module for.
        verified = suite(host, older.lock_file, ["efa"], None, "-k", "not kernel_module")
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.slow
def test_what_an_image_with_its_own_mpi_left_out_comes_when_it_is_asked_for(host: str, vendors: Vendors) -> None:
    converged_twice(host, vendors, "efa", efa_minimal=True)
    assert not {"openmpi40-aws", "libnccl-ofi", "efa-profile"} & installed(host)
    converged_twice(host, vendors, "efa")
    assert {"openmpi40-aws", "libnccl-ofi", "efa-profile"} <= installed(host)


@pytest.mark.slow
def test_the_number_of_huge_pages_can_be_given(host: str, vendors: Vendors) -> None:
    converged_twice(host, vendors, "efa", ingot_roles=["kernel", "efa"], efa_hugepages=512)
    assert "efa-config" not in installed(host)
    assert "vm.nr_hugepages = 512\n" in sh(host, "cat /etc/sysctl.d/91-efa.conf")


@pytest.mark.slow
def test_another_lock_moves_installer_module_and_plugin_forward_and_back(
    name: str, host: str, vendors: Vendors, release: str, tmp_path: Path
) -> None:
    lock = locked(name)
    facts = {"libfabric": "2.7.0amzn2.0", "aws_ofi_nccl": "1.22.0", "rdma_core": "65.0-1", "efa_kmod": "3.3.1"}
    parts = dict(lock.components)
    for each, version in (("efa", "1.51.0"), ("aws_ofi_nccl", "1.22.0")):
        entry = parts[each]
        assert entry.artifact
        url = entry.artifact.url.replace(entry.version, version)
        artifact = entry.artifact.model_copy(update={"url": url, "sha256": None})
        parts[each] = entry.model_copy(
            update={"version": version, "artifact": artifact, "facts": {**entry.facts, **facts}}
        )
    given = {"ingot_roles": ["kernel", "efa", "aws_ofi_nccl"]}
    with aws(tmp_path, lock.model_copy(update={"components": parts})) as newer:
        for aws_then, libfabric, module in ((vendors, "2.6.0amzn1.0", "3.3.0g"), (newer, "2.7.0amzn2.0", "3.3.1g"),
                                        (vendors, "2.6.0amzn1.0", "3.3.0g")):  # fmt: skip
            converged_twice(host, aws_then, "efa", "aws_ofi_nccl", **given)
            assert f"libfabric: {libfabric}" in sh(host, "fi_info --version")
            assert sh(host, f"modinfo -k {release} -F version efa").strip() == module


def stubs(host: str, *headers: str) -> None:
    """Headers that other roles bring."""
    for header in headers:
        sh(host, f"mkdir -p $(dirname {header}) && touch {header}")


FABRIC, CUDA = "/opt/amazon/efa/include/rdma/fabric.h", "/usr/local/cuda/include/cuda.h"


@pytest.mark.slow
def test_the_plugin_is_built_where_no_installer_brings_it_also_after_a_build_that_failed(
    host: str, vendors: Vendors
) -> None:
    stubs(host, FABRIC)
    done = converge(host, vendors, "aws_ofi_nccl")
    assert done.returncode != 0
    assert "requires either CUDA or Neuron" in done.stdout
    assert (sh(host, "ls /opt/amazon").split(), leftovers(host)) == (["efa"], "")
    stubs(host, CUDA)
    converged_twice(host, vendors, "aws_ofi_nccl")
    assert leftovers(host) == ""
    verified = suite(host, vendors.lock_file, ["aws_ofi_nccl"], ["aws_ofi_nccl"])
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.slow
def test_a_source_that_is_not_the_locks_is_refused_and_nothing_is_built(host: str, vendors: Vendors) -> None:
    stubs(host, FABRIC, CUDA)
    vendors.faults["aws-ofi-nccl-1.21.1.tar.gz"] = ["altered"]
    done = converge(host, vendors, "aws_ofi_nccl")
    assert done.returncode != 0
    assert "Fetch aws-ofi-nccl-1.21.1.tar.gz of aws_ofi_nccl" in done.stdout
    assert (sh(host, "ls /opt/amazon").split(), leftovers(host)) == (["efa"], "")
    assert converge(host, vendors, "aws_ofi_nccl").returncode == 0


@pytest.mark.slow
def test_the_stack_before_builds_the_plugin_on_rocky_where_its_installer_has_none(tmp_path: Path) -> None:
    with aws(tmp_path, locked("rocky9", stack="2025.11")) as made, container(image("rocky9")) as host:
        stubs(host, CUDA)
        converged_twice(host, made, "efa")
        assert "libnccl-ofi" not in installed(host)
        converged_twice(host, made, "aws_ofi_nccl")
        verified = suite(host, made.lock_file, ["efa", "aws_ofi_nccl"], ["aws_ofi_nccl"])
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.slow
def test_a_plugin_of_another_version_than_the_locks_is_named(host: str, vendors: Vendors, tmp_path: Path) -> None:
    assert converge(host, vendors, "efa").returncode == 0
    lock = with_entry(vendors.lock, "aws_ofi_nccl", version="1.20.0")
    changed = Vendors(tmp_path, vendors.url, lock)
    changed.lock_file.write_text(locks.dump(lock))
    done = converge(host, changed, "aws_ofi_nccl")
    assert done.returncode != 0
    assert "the EFA installer has brought 1.21.1, the lock has 1.20.0" in " ".join(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("debian", ["debian12", "debian13"])
def test_debian_says_why_it_has_no_plugin(debian: str, tmp_path: Path) -> None:
    lock = locked(debian)
    made = Vendors(tmp_path, "", lock)
    made.lock_file.write_text(locks.dump(lock))
    with container(image(debian)) as host:
        done = converge(host, made, "aws_ofi_nccl")
    assert "changed=0 " in done.stdout
    assert f"aws_ofi_nccl is left out: {lock.left_out['aws_ofi_nccl']}" in " ".join(done.stdout.split())
