"""NVIDIA's driver of the lock is built for the image's kernel, in the flavour that the machine's GPU takes.

The kernel is that of the headers in the rig's image; nothing loads the modules, but depmod, modinfo and modprobe's
plans are real.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingot.catalog.instance_types import describe
from ingot.model.lock import LockedComponent
from tests.rigs.faults import ANSWERS, Fault, answers
from tests.rigs.kernels import with_kernel
from tests.rigs.later import NEWER_DRIVER
from tests.rigs.locks import DRIVER, locked, with_driver
from tests.rigs.places import converge, converged, converged_twice
from tests.rigs.simulated.driver import LICENCES
from tests.rigs.suite import suite
from tests.rigs.systems import bare, container, docker, gateway, image
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["nvidia_driver", "gdrcopy"]
KERNELS = "dpkg-query -W 'linux-*'"
LEFT_OVER = "find /dev/shm/ingot-files /var/tmp/ingot-gdrcopy /etc/dkms/no-autoinstall"
LEFT_OVER += " ! -path /dev/shm/ingot-files 2>/dev/null"


class Rig(dict[tuple[str, str, str], Vendors]):
    """What is served, by system, flavour of the module and version; made when it is asked for."""

    def __init__(self, make: Callable[[tuple[str, str, str]], Vendors]) -> None:
        self._make = make

    def __missing__(self, key: tuple[str, str, str]) -> Vendors:
        self[key] = self._make(key)
        return self[key]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The rig of vendors, for as many locks as tests ask for."""
    with ExitStack() as stack:

        def make(key: tuple[str, str, str]) -> Vendors:
            system, module, version = key
            lock = with_kernel(with_driver(locked(system), module, version))
            given = {"kernel": lock.components["kernel"]}
            folder = tmp_path_factory.mktemp("rig") / "vendors"
            return stack.enter_context(serving(lock, ROLES, folder, gateway(), given=given))

        yield Rig(make)


@pytest.fixture
def host() -> Iterator[str]:
    """A container that presents itself as Ubuntu 24.04."""
    with container(image("ubuntu2404")) as name:
        yield name


def sh(host: str, script: str) -> str:
    """What a script in the container prints."""
    return docker("exec", "-i", host, "sh", "-eu", stdin=script).strip()


def modinfo(host: str, release: str, name: str, field: str) -> str:
    """What modinfo says of the module that modprobe would load."""
    return sh(host, f"modinfo -k {release} -F {field} {name}")


@dataclass(frozen=True)
class Made:
    """A container with the driver and gdrcopy in it."""

    host: str
    vendors: Vendors
    kernels: str

    @property
    def driver(self) -> LockedComponent:
        """The lock's entry of the driver."""
        return self.vendors.lock.components["nvidia_driver"]


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, rig: Rig) -> Iterator[Made]:
    """The roles applied to a system, with a flavour of the module."""
    system, module = request.param
    vendors = rig[system, module, DRIVER]
    with container(image(system)) as name:
        kernels = sh(name, KERNELS)
        converged(name, vendors, *ROLES)
        yield Made(name, vendors, kernels)


SLOW = [("ubuntu2404", "open"), ("ubuntu2404", "closed"), ("ubuntu2404", "runfile"), ("ubuntu2204", "auto")]
MADE = [("ubuntu2404", "auto"), *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW)]
every = pytest.mark.parametrize("made", MADE, indirect=True, ids="-".join)


@every
def test_a_second_time_changes_nothing_and_the_kernel_is_as_it_was(made: Made) -> None:
    assert "changed=0 " in converged(made.host, made.vendors, *ROLES).stdout
    assert sh(made.host, KERNELS) == made.kernels


@every
def test_the_locks_packages_are_installed_and_held_and_nothing_is_left_over(made: Made, release: str) -> None:
    wanted = set(made.driver.files) - {made.driver.facts.get("unpacked")}
    assert set(sh(made.host, "apt-mark showhold").split()) == wanted
    assert sh(made.host, f"{LEFT_OVER} || true") == ""
    for name in ("nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm"):
        flavour = "closed" if made.driver.facts["module"] == "closed" else "open"
        assert modinfo(made.host, release, name, "license") == LICENCES[flavour]
    # A module for the open driver uses symbols that the kernel keeps from users of a closed one.
    built_for = "opensource" if made.driver.facts["module"] == "open" else "proprietary"
    assert built_for in modinfo(made.host, release, "gdrdrv", "description")
    inside = sh(made.host, f"lsinitramfs /boot/initrd.img-{release}").splitlines()
    assert [path for path in inside if "/nvidia" in path] == []
    assert "etc/modprobe.d/ingot-nouveau.conf" in inside


@every
def test_the_suite_of_finished_images_finds_nothing_wrong(made: Made) -> None:
    verified = suite(made.host, made.vendors.lock_file, ["kernel", *ROLES], ROLES)
    assert verified.returncode == 0, verified.stdout[-4000:] + verified.stderr[-2000:]


# What one image finds on machines of several generations, and the flavour that each takes.
GPUS = {"p3dn.24xlarge": "closed", "g5.xlarge": "closed", "p4d.24xlarge": "open", "p6-b200.48xlarge": "open"}


@pytest.mark.parametrize("made", [("ubuntu2404", "auto")], indirect=True, ids="-".join)
def test_one_image_takes_the_module_of_the_gpu_that_it_finds_and_compiles_nothing(made: Made, release: str) -> None:
    # Whatever compiled at boot would need this.
    sh(made.host, "mv /usr/bin/make /usr/bin/make-away")
    for name, flavour in GPUS.items():
        device = describe(name)["pci"][0].partition(":")[2]
        folder = f"/tmp/{name}/bus/pci/devices/0000:00:1e.0"
        sh(
            made.host,
            f"mkdir -p {folder}; cd {folder}; echo 0x10de >vendor; echo 0x{device} >device; echo 0x030200 >class",
        )
        sh(made.host, f"/usr/lib/ingot/nvidia-flavour --sysfs /tmp/{name} use {release}")
        for module in ("nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm"):
            assert modinfo(made.host, release, module, "license") == LICENCES[flavour], name
        first = sh(made.host, f"modprobe --set-version {release} --show-depends gdrdrv").splitlines()[0]
        assert ("ingot-nvidia-closed/nvidia.ko" in first) == (flavour == "closed")
        assert ("NVreg_EnableGpuFirmware=0" in first) == (name == "g5.xlarge")
    sh(made.host, "mv /usr/bin/make-away /usr/bin/make")


@pytest.mark.slow
def test_modules_are_signed_by_a_given_key_which_does_not_stay(host: str, rig: Rig, release: str) -> None:
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ingot-test -keyout /dev/shm/key.pem"
    sh(host, f"{make} -outform DER -out /dev/shm/key.der 2>/dev/null")
    key = {"nvidia_driver_signing_key": "/dev/shm/key.pem", "nvidia_driver_signing_certificate": "/dev/shm/key.der"}
    vendors = rig["ubuntu2404", "auto", DRIVER]
    converged_twice(host, vendors, *ROLES, **key)
    folder = f"/lib/modules/{release}"
    files = sh(host, f"find {folder}/updates {folder}/ingot-nvidia-closed/ -name '*.ko*'").split()
    assert len(files) == 9
    assert {sh(host, f"modinfo -F signer {file}") for file in files} == {"ingot-test"}
    kept = (
        "grep -rlsE --exclude-dir=lists 'PRIVATE KEY|/dev/shm/key' /etc /var /usr/lib/dkms /usr/src/gdrdrv-* /root /tmp"
    )
    assert sh(host, f"{kept} || true") == ""


@pytest.mark.slow
def test_a_build_that_was_cut_off_is_mended_by_the_next_run(host: str, rig: Rig, release: str) -> None:
    vendors = rig["ubuntu2404", "auto", DRIVER]
    # Nothing compiles, as if the machine had stopped in the middle.
    sh(host, "mv /usr/bin/make /usr/bin/make-away; ln -s /bin/false /usr/bin/make")
    done = converge(host, vendors, "nvidia_driver")
    assert done.returncode != 0
    assert sh(host, f"grep -rl mok_signing_key /etc/dkms/framework.conf.d || true; {LEFT_OVER} || true") == ""
    sh(host, "mv /usr/bin/make-away /usr/bin/make")
    converged(host, vendors, "nvidia_driver")
    built = f"/var/lib/dkms/nvidia/{DRIVER}/{release}/x86_64/module"
    ahead = f"/lib/modules/{release}/ingot-nvidia-closed"
    for spoil in (
        f"rm /var/lib/dkms/nvidia/kernel-* {built}/nvidia.ko* /lib/modules/{release}/updates/dkms/nvidia.ko*",
        f"rm -r /lib/modules/{release}/updates; depmod {release}; rm {ahead}/nvidia-uvm.ko* {ahead}",
    ):
        sh(host, spoil)
        converged(host, vendors, "nvidia_driver")
        assert modinfo(host, release, "nvidia", "version") == DRIVER
        assert modinfo(host, release, "nvidia-drm", "version") == DRIVER
        assert len(sh(host, f"ls {ahead}/ | grep ko").split()) == 4
    assert "changed=0 " in converged(host, vendors, "nvidia_driver").stdout


@pytest.mark.slow
def test_another_lock_moves_the_driver_there_and_back_and_never_the_kernel(host: str, rig: Rig, release: str) -> None:
    kernels = sh(host, KERNELS)
    for version, module in ((DRIVER, "auto"), (NEWER_DRIVER, "auto"), (DRIVER, "open")):
        vendors = rig["ubuntu2404", module, version]
        converged_twice(host, vendors, *ROLES)
        assert sh(host, KERNELS) == kernels
        assert modinfo(host, release, "nvidia", "version") == version
        rows = [line.split() for line in sh(host, "dpkg-query -W '*nvidia*' cuda-drivers || true").splitlines()]
        there = {row[1] for row in rows if len(row) > 1}
        assert there == {f"{version}-1"}
        both = [f"nvidia-closed/{version}"] if module == "auto" else []
        names = sorted({line.split(",")[0] for line in sh(host, "dkms status").splitlines()})
        assert names == ["gdrdrv/2.6", *both, f"nvidia/{version}"]
        assert sh(host, "ls -d /usr/src/nvidia* | sort").split() == sorted(
            [f"/usr/src/nvidia-{version}", *(f"/usr/src/nvidia-closed-{version}" for _ in both)]
        )
    assert sh(host, f"ls -d /lib/modules/{release}/ingot* /etc/systemd/system/ingot-nvidia* 2>/dev/null || true") == ""


@pytest.mark.slow
def test_a_package_that_is_unpacked_is_the_locks_or_refused(host: str, rig: Rig, release: str) -> None:
    vendors = rig["ubuntu2404", "auto", DRIVER]
    file = Path(vendors.lock.components["nvidia_driver"].files["nvidia-kernel-source-580"].path).name
    for fault in (ANSWERS["altered"], ANSWERS["404"]):
        vendors.faults[file] = [fault]
        done = converge(host, vendors, "nvidia_driver")
        assert done.returncode != 0
        assert file in done.stdout
        assert sh(host, f"ls -d /usr/src/nvidia-closed* 2>/dev/null || true; {LEFT_OVER} || true") == ""
    converged(host, vendors, "nvidia_driver")
    assert sh(host, f"modinfo -F license /lib/modules/{release}/ingot-nvidia-closed/nvidia.ko*") == "NVIDIA"


@pytest.mark.parametrize("fault", answers("altered", "truncated", "404"))
def test_a_container_takes_gdrcopys_library_alone_from_the_locks_source_or_refuses_it(
    host: str, rig: Rig, fault: Fault
) -> None:
    vendors = rig["ubuntu2404", "auto", DRIVER]
    vendors.faults["v2.6.tar.gz"] = [fault]
    done = converge(host, vendors, "gdrcopy", gdrcopy_kmod=False)
    assert done.returncode != 0
    assert "v2.6.tar.gz" in done.stdout
    assert sh(host, f"ls -d /opt/gdrcopy 2>/dev/null || true; {LEFT_OVER} || true") == ""
    converged_twice(host, vendors, "gdrcopy", gdrcopy_kmod=False)
    found = sh(host, "ldconfig -p | awk '/libgdrapi.so.2/ {print $NF}'")
    assert found == "/opt/gdrcopy/lib/libgdrapi.so.2"
    assert "[libgdrapi.so.2]" in sh(host, f"objdump -p {found} | sed -n 's/SONAME *\\(.*\\)/[\\1]/p'")
    assert sh(host, "ls -d /usr/src/gdrdrv* /etc/systemd/system/gdrcopy* 2>/dev/null || true") == ""


def test_gdrcopy_alone_finds_its_compiler_on_a_host_without_package_lists(rig: Rig) -> None:
    with container(bare("ubuntu2404")) as fresh:
        sh(fresh, "rm -rf /var/lib/apt/lists/*; ! command -v gcc")
        # As in every container of Docker's: what a role runs there would fail.
        assert "noexec" in sh(fresh, "grep ' /dev/shm ' /proc/mounts")
        converged(fresh, rig["ubuntu2404", "auto", DRIVER], "gdrcopy", gdrcopy_kmod=False)
        assert "libgdrapi.so.2" in sh(fresh, "ldconfig -p")
