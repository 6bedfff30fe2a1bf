"""AWS Neuron and the Lustre client get modules for the kernel of the lock, or are refused."""

import pytest

from ingot import paths
from ingot.model.lock import Lock
from tests.rigs.kernels import release, with_kernel
from tests.rigs.locks import locked, versions, with_client
from tests.rigs.places import Make, ask, converge, converged_twice
from tests.rigs.simulated.lustre import CLIENT
from tests.rigs.suite import suite
from tests.rigs.systems import STACK, SYSTEMS, docker
from tests.rigs.vendors import Vendors

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["neuron", "lustre", "kernel"]
OTHERS = ["ubuntu2204", "al2023", "rocky9"]
NAMES = ["ubuntu2404", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
# Amazon Linux has the client itself.
LUSTRE = ["ubuntu2404", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ubuntu2204", "rocky9", "rhel9"))]

# What the driver's script fetches a list of devices with; it shows whether it could have.
FETCHES = "#!/bin/sh\necho $https_proxy > /run/fetched\n"


def simulated(name: str) -> Lock:
    """A system's lock with the rig's kernel, and a version of Lustre, which only its repository tells."""
    return with_client(with_kernel(locked(name)))


def installed(host: str, vendors: Vendors, *roles: str) -> dict[str, str]:
    """The components' packages that are installed, by version."""
    if SYSTEMS[vendors.lock.os].kind == "apt":
        shown = docker("exec", host, "dpkg-query", "-W", "-f", "${Package} ${db:Status-Status} ${Version}\n")
        rows = (line.split() for line in shown.splitlines() if " installed " in line)
        found = {name: version for name, _, version in rows}
    else:
        shown = docker("exec", host, "rpm", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\n")
        found = dict(line.split() for line in shown.splitlines())
    names = {name for role in roles for name in vendors.lock.components[role].files}
    return {name: version for name, version in found.items() if name in names}


def verified(host: str, vendors: Vendors, role: str) -> None:
    """Run the suite's file of the role on the container."""
    done = suite(host, vendors.lock_file, [role])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_neuron_is_built_for_the_kernel_of_the_lock_and_a_second_time_changes_nothing(place: Make, name: str) -> None:
    vendors, host = place(simulated(name))
    fetcher = "/usr/local/sbin/update-pciids"
    docker("exec", "-i", host, "sh", "-euc", f"cat > {fetcher}; chmod +x {fetcher}", stdin=FETCHES)
    converged_twice(host, vendors, "neuron")
    assert installed(host, vendors, "neuron") == versions(vendors.lock, "neuron")
    assert ask(host, "cat /run/fetched") == "http://127.0.0.1:9"
    verified(host, vendors, "neuron")


@pytest.mark.slow
def test_neuron_in_check_mode_changes_nothing(place: Make) -> None:
    vendors, host = place(simulated("ubuntu2404"))
    assert converge(host, vendors, "neuron").returncode == 0
    checked = converge(host, vendors, "neuron", check=True)
    assert "changed=0 " in checked.stdout, checked.stdout


@pytest.mark.slow
def test_neuron_in_a_container_is_without_its_driver(place: Make) -> None:
    vendors, host = place(simulated("ubuntu2404"))
    first = converge(host, vendors, "neuron", neuron_kmod=False)
    assert first.returncode == 0, first.stdout
    everything = versions(vendors.lock, "neuron")
    assert installed(host, vendors, "neuron") == {n: v for n, v in everything.items() if n != "aws-neuronx-dkms"}
    assert ask(host, "find /etc/modprobe.d /etc/modules-load.d /lib/modules -name '*neuron*'") == ""


@pytest.mark.slow
def test_an_interrupted_build_is_begun_anew(place: Make) -> None:
    vendors, host = place(simulated("ubuntu2404"))
    tree = f"/lib/modules/{release()}"
    docker("exec", host, "mv", f"{tree}/build", f"{tree}/away")
    done = converge(host, vendors, "neuron")
    assert done.returncode != 0
    assert release() in done.stdout
    docker("exec", host, "mv", f"{tree}/away", f"{tree}/build")
    # What DKMS would take for a module that is built.
    version = vendors.lock.components["neuron"].facts["dkms"]
    left = f"/var/lib/dkms/aws-neuronx/{version}/{release()}/x86_64/module"
    docker("exec", host, "sh", "-euc", f"mkdir -p {left}; : > {left}/neuron.ko")
    again = converge(host, vendors, "neuron")
    assert again.returncode == 0, again.stdout
    assert ask(host, f"modinfo -k {release()} -F vermagic neuron").split()[0] == release()


@pytest.mark.slow
@pytest.mark.parametrize("name", LUSTRE)
def test_lustre_is_installed_with_a_module_for_the_kernel(place: Make, name: str) -> None:
    vendors, host = place(simulated(name))
    converged_twice(host, vendors, "lustre")
    assert installed(host, vendors, "lustre") == versions(vendors.lock, "lustre")
    verified(host, vendors, "lustre")


@pytest.mark.slow
def test_a_client_of_another_kernel_is_refused(place: Make) -> None:
    vendors, host = place(simulated("ubuntu2404"))
    done = converge(host, vendors, "lustre", lustre_kernel="6.17.0-1003-aws")
    assert done.returncode != 0
    assert f"lustre {CLIENT}: module lustre is missing for kernel 6.17.0-1003-aws" in " ".join(done.stdout.split())


def test_a_lock_without_a_client_is_refused(place: Make) -> None:
    vendors, host = place(simulated("ubuntu2404"))
    unresolved = paths.LOCKS / STACK / "ubuntu2404-x86_64.yml"
    done = converge(host, Vendors(vendors.folder, vendors.url, vendors.lock), "lustre", ingot_lock=str(unresolved))
    assert done.returncode != 0
    assert "lustre of ubuntu2404-x86_64 is unresolved: the lock lacks its version" in done.stdout
    assert installed(host, vendors, "lustre") == {}
