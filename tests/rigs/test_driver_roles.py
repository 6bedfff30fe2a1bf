"""NVIDIA's driver from its own repository, simulated, with modules that are compiled for a real kernel.

The kernel is that of the headers in the rig's image; nothing loads the modules, but depmod, modinfo and modprobe's
plans are real.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from systems import container, docker, gateway, image, tools_image
from systems import converge as run_play
from vendors import Vendors, serving

from ingot import lock as locks
from ingot import paths
from ingot.catalog import read_catalog
from ingot.instance_types import describe
from ingot.locked import Lock, LockedComponent

pytestmark = [pytest.mark.docker, pytest.mark.network]

SYSTEMS = ["ubuntu2404", pytest.param("ubuntu2204", marks=pytest.mark.slow)]
PLAY = "- hosts: all\n  vars: {vars}\n  roles:\n{roles}\n"
VERSION, NEWER = "580.126.20", "580.159.03"


@pytest.fixture(scope="session")
def release() -> str:
    """The release of the kernel whose headers the rig's image has."""
    return docker("run", "--rm", tools_image(), "ls", "/lib/modules").strip()


def locked(system: str, module: str, version: str, release: str) -> Lock:
    """The system's lock with a driver of this flavour and version, as the catalog offers it, and the rig's kernel."""
    lock = locks.load(paths.LOCKS / "2026.11" / f"{system}-x86_64.yml")
    offers = read_catalog().components["nvidia_driver"].offers
    offer = next(
        each
        for each in offers
        if system in each.os and each.repository and each.facts["module"] == module and version in each.releases
    )
    assert offer.repository
    words = {"version": version, "major": version.partition(".")[0]}
    packages = sorted(name.format(**words) for name in offer.repository.packages)
    update = {"version": version, "packages": packages, "facts": offer.facts}
    driver = lock.components["nvidia_driver"].model_copy(update=update)
    kernel = LockedComponent(version="6.12", source="distribution", facts={"release": release}, why="the rig has it")
    return lock.model_copy(update={"components": {**lock.components, "nvidia_driver": driver, "kernel": kernel}})


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, release: str) -> Iterator[dict[tuple[str, str, str], Vendors]]:
    """What is served, by system, flavour and version, made when it is asked for."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        class Served(dict[tuple[str, str, str], Vendors]):
            def __missing__(self, key: tuple[str, str, str]) -> Vendors:
                lock = locked(*key, release)
                folder = tmp_path_factory.mktemp("rig") / "vendors"
                given = {"kernel": lock.components["kernel"]}
                mine = ["nvidia_driver", "gdrcopy"]
                self[key] = stack.enter_context(serving(lock, mine, folder, gateway(), given=given))
                return self[key]

        yield Served()


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container that presents itself as the system of the test's parameter `system`, else as Ubuntu 24.04."""
    with container(image(request.node.callspec.params.get("system", "ubuntu2404") if hasattr(request.node, "callspec") else "ubuntu2404")) as name:
        yield name


def converge(
    host: str, vendors: Vendors, *roles: str, check: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Apply roles; what Ansible says."""
    play = vendors.folder / f"{'-'.join(roles)}.yml"
    play.write_text(PLAY.format(vars=variables, roles="\n".join(f"    - ingot.ml.{role}" for role in roles)))
    done = run_play(host, play, vendors.lock_file)
    assert not check or done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done


def sh(host: str, script: str) -> str:
    """What a script in the container prints."""
    return docker("exec", "-i", host, "sh", "-eu", stdin=script).strip()


def modinfo(host: str, release: str, name: str, field: str) -> str:
    """What modinfo says of the module that modprobe would load."""
    return sh(host, f"modinfo -k {release} -F {field} {name}")


@pytest.mark.parametrize("module", ["open", "closed", "auto"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_it_installs_builds_and_holds_the_locks_driver_and_a_second_time_changes_nothing(
    host: str, rig: dict[tuple[str, str, str], Vendors], release: str, system: str, module: str
) -> None:
    vendors = rig[system, module, VERSION]
    kernels = sh(host, "dpkg-query -W 'linux-*'")
    converge(host, vendors, "nvidia_driver")
    assert "changed=0 " in converge(host, vendors, "nvidia_driver").stdout
    for name in ("nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm"):
        assert modinfo(host, release, name, "version") == VERSION
        assert modinfo(host, release, name, "vermagic").split()[0] == release
        assert modinfo(host, release, name, "license") == ("NVIDIA" if module == "closed" else "Dual MIT/GPL")
    unpacked = vendors.lock.components["nvidia_driver"].facts.get("unpacked")
    wanted = set(vendors.lock.components["nvidia_driver"].packages) - {unpacked}
    assert wanted == set(sh(host, "apt-mark showhold").split())
    assert sh(host, "dpkg-query -W 'linux-*'") == kernels
    status = sh(host, "dkms status")
    states = {line.split(",")[0]: line.rpartition(": ")[2] for line in status.splitlines()}
    both = {f"nvidia-closed/{VERSION}": "built"} if module == "auto" else {}
    assert states == {f"nvidia/{VERSION}": "installed", **both}
    assert "blacklist nouveau" in sh(host, "modprobe --showconfig")
    assert sh(host, f"lsinitramfs /boot/initrd.img-{release} | grep -c /nvidia || true") == "0"
    assert "blacklist nouveau" in sh(host, f"lsinitramfs -l /boot/initrd.img-{release} >/dev/null; cat /etc/modprobe.d/*")
    gate = sh(host, "cat /etc/systemd/system/nvidia-persistenced.service.d/ingot.conf")
    assert "0x10de /sys/bus/pci/devices" in gate
    assert sh(host, "readlink -f $(ldconfig -p | awk '/libcuda.so.1/ {print $NF}')").endswith(f"libcuda.so.{VERSION}")
    assert sh(host, "ls /dev/shm/ingot-files 2>/dev/null || true") == ""


# Trees of PCI devices as the catalog's sources name them, and the flavour that each takes.
TREES = {"p3dn.24xlarge": "closed", "g5.xlarge": "closed", "p4d.24xlarge": "open", "p6-b200.48xlarge": "open"}


def test_one_image_takes_the_module_of_the_gpu_that_it_finds_and_compiles_nothing(
    host: str, rig: dict[tuple[str, str, str], Vendors], release: str
) -> None:
    converge(host, rig["ubuntu2404", "auto", VERSION], "nvidia_driver", "gdrcopy")
    enabled = sh(host, "SYSTEMD_OFFLINE=1 systemctl is-enabled ingot-nvidia-flavour.service")
    assert enabled == "enabled"
    # Whatever compiles at boot would need this.
    sh(host, "mv /usr/bin/make /usr/bin/make-away")
    for name, flavour in TREES.items():
        device = describe(name)["pci"][0].partition(":")[2]
        sh(host, f"mkdir -p /tmp/{name}/bus/pci/devices/0000:00:1e.0; cd /tmp/{name}/bus/pci/devices/0000:00:1e.0;"
                 f"echo 0x10de >vendor; echo 0x{device} >device; echo 0x030200 >class;"
                 f"/usr/lib/ingot/nvidia-flavour --sysfs /tmp/{name} use {release}")
        licence = {"closed": "NVIDIA", "open": "Dual MIT/GPL"}[flavour]
        for module in ("nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm"):
            assert modinfo(host, release, module, "license") == licence, name
        shown = sh(host, f"modprobe --set-version {release} --show-depends gdrdrv").splitlines()
        assert ("ingot-nvidia-closed/nvidia.ko" in shown[0]) == (flavour == "closed")
        assert ("NVreg_EnableGpuFirmware=0" in shown[0]) == (name == "g5.xlarge")
    # It loads beside either: that for the open driver uses symbols that the kernel keeps from a closed one's users.
    assert "proprietary" in modinfo(host, release, "gdrdrv", "description")


def test_modules_are_signed_by_a_given_key_which_does_not_stay(
    host: str, rig: dict[tuple[str, str, str], Vendors], release: str
) -> None:
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ingot-test -keyout /dev/shm/key.pem"
    sh(host, f"{make} -outform DER -out /dev/shm/key.der 2>/dev/null")
    key = {"nvidia_driver_signing_key": "/dev/shm/key.pem", "nvidia_driver_signing_certificate": "/dev/shm/key.der"}
    vendors = rig["ubuntu2404", "auto", VERSION]
    converge(host, vendors, "nvidia_driver", "gdrcopy", **key)
    assert "changed=0 " in converge(host, vendors, "nvidia_driver", "gdrcopy", **key).stdout
    folder = f"/lib/modules/{release}"
    files = sh(host, f"find {folder}/updates {folder}/ingot-nvidia-closed/ -name '*.ko*'").split()
    assert len(files) == 9
    assert {sh(host, f"modinfo -F signer {file}") for file in files} == {"ingot-test"}
    kept = "grep -rlsE --exclude-dir=lists 'PRIVATE KEY|/dev/shm/key' /etc /var /usr/lib/dkms /usr/src/gdrdrv-* /root /tmp"
    assert sh(host, f"{kept} || true") == ""


@pytest.mark.parametrize("left", ["built", "installed", "closed"])
def test_a_build_that_was_cut_off_is_mended_by_the_next_run(
    host: str, rig: dict[tuple[str, str, str], Vendors], release: str, left: str
) -> None:
    vendors = rig["ubuntu2404", "auto", VERSION]
    # The source does not compile, as if the machine had stopped in the middle.
    failing = "#!/bin/sh\nexit 1\n"
    sh(host, f"cp -a /usr/bin/make /usr/bin/make-away; printf '%s' '{failing}' >/usr/bin/make")
    done = converge(host, vendors, "nvidia_driver", check=False)
    assert done.returncode != 0
    assert sh(host, "grep -rl mok_signing_key /etc/dkms/framework.conf.d || true") == ""
    assert sh(host, "ls /etc/dkms/no-autoinstall /dev/shm/ingot-files 2>/dev/null || true") == ""
    sh(host, "mv /usr/bin/make-away /usr/bin/make")
    converge(host, vendors, "nvidia_driver")
    base = f"/var/lib/dkms/nvidia/{VERSION}/{release}/x86_64/module"
    spoil = {
        "built": f"rm /var/lib/dkms/nvidia/kernel-* {base}/nvidia.ko* /lib/modules/{release}/updates/dkms/nvidia.ko*",
        "installed": f"rm -r /lib/modules/{release}/updates; depmod {release}",
        "closed": f"rm /lib/modules/{release}/ingot-nvidia-closed {base.replace('nvidia/', 'nvidia-closed/', 1)}/nvidia-uvm.ko*",
    }
    sh(host, spoil[left])
    converge(host, vendors, "nvidia_driver")
    assert modinfo(host, release, "nvidia-drm", "version") == VERSION
    assert len(sh(host, f"ls /lib/modules/{release}/ingot-nvidia-closed/ | grep ko").split()) == 4
    assert "changed=0 " in converge(host, vendors, "nvidia_driver").stdout


def test_another_lock_moves_the_driver_there_and_back_and_never_the_kernel(
    host: str, rig: dict[tuple[str, str, str], Vendors], release: str
) -> None:
    kernels = sh(host, "dpkg-query -W 'linux-*'")
    for version, module in ((VERSION, "auto"), (NEWER, "auto"), (VERSION, "open")):
        vendors = rig["ubuntu2404", module, version]
        converge(host, vendors, "nvidia_driver", "gdrcopy")
        assert "changed=0 " in converge(host, vendors, "nvidia_driver", "gdrcopy").stdout
        assert sh(host, "dpkg-query -W 'linux-*'") == kernels
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


@pytest.mark.parametrize("fault", ["altered", 404], ids=str)
def test_a_package_that_is_unpacked_is_the_locks_or_refused(
    host: str, rig: dict[tuple[str, str, str], Vendors], release: str, fault: int | str
) -> None:
    vendors = rig["ubuntu2404", "auto", VERSION]
    file = vendors.lock.components["nvidia_driver"].files["nvidia-kernel-source-580"]
    vendors.faults[Path(file.path).name] = [fault]
    done = converge(host, vendors, "nvidia_driver", check=False)
    vendors.faults.clear()
    assert done.returncode != 0
    assert "nvidia-kernel-source-580" in done.stdout
    assert sh(host, "ls -d /usr/src/nvidia-closed* 2>/dev/null || true") == ""
    converge(host, vendors, "nvidia_driver")
    assert sh(host, f"modinfo -F license /lib/modules/{release}/ingot-nvidia-closed/nvidia.ko*") == "NVIDIA"
