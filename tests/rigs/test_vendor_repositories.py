"""A role installs the lock's versions from a vendor's repository as the vendor publishes it, and on a host on which its
owner has followed the vendor's own page already.

What the rig's repositories have always: two keys sign, of which one is not published yet; the page of keys has another
one as well; the index is compressed by zstd. Packages, keys and signatures are real.
"""

from pathlib import Path

import pytest

from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs.kernels import with_kernel
from tests.rigs.locks import DRIVER, locked, versions, with_driver, with_entry
from tests.rigs.places import Make, ask, converge, converged_twice
from tests.rigs.simulated.kernel import DRACUT
from tests.rigs.systems import docker
from tests.rigs.vendors import Vendors

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["kernel", "nvidia_driver", "nvlsm", "imex", "docker", "nvidia_container_toolkit"]


def installed(host: str) -> dict[str, str]:
    """package -> version, of rpm."""
    form = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n"
    return dict(line.split() for line in docker("exec", host, "rpm", "-qa", "--queryformat", form).splitlines())


def trusted(host: str) -> int:
    """The number of keys that rpm trusts."""
    return len(ask(host, "rpm -qa 'gpg-pubkey*'").splitlines())


def lock_of(name: str) -> Lock:
    """A system's lock with a version of the open driver, for the kernel that the rig has headers of, and a version of
    Docker, which only its repository tells.
    """
    return with_entry(with_kernel(with_driver(locked(name), "open", DRIVER)), "docker", version="29.8.1")


def with_dracut(host: str) -> None:
    """What comes with a system's kernel, of which the rig has the headers alone."""
    docker("exec", "-i", host, "install", "-m", "755", "/dev/stdin", "/usr/bin/dracut", stdin=DRACUT)


@pytest.mark.parametrize("name", ["rhel9", pytest.param("al2023", marks=pytest.mark.slow)])
def test_the_drivers_version_is_had_whatever_stream_is_the_default_and_dkms_from_where_the_system_has_it(
    place: Make, name: str
) -> None:
    vendors, host = place(lock_of(name))
    with_dracut(host)
    converged_twice(host, vendors, "nvidia_driver", "nvlsm")
    found, lock = installed(host), vendors.lock
    assert versions(lock, "nvidia_driver").items() <= found.items()
    assert {version.partition(":")[0] for version in versions(lock, "nvidia_driver").values()} == {"3"}
    # The vendor has the first of these three, and the system the others.
    assert lock.components["nvlsm"].files.keys() == {"nvlsm"}
    assert {"nvlsm", "infiniband-diags", "libibumad", "dkms"} <= found.keys()
    by_epel = "epel" in lock.components["nvidia_driver"].system_packages.values()
    assert ("dkms" not in ask(host, "ls /usr/share/simulated/system")) == by_epel == (name == "rhel9")
    # The vendor's and EPEL's, and neither the vendor's next one nor that before.
    assert trusted(host) == (2 if by_epel else 1)


@pytest.mark.parametrize("name", ["rocky9"])
def test_a_repository_that_signs_its_packages_alone_and_one_that_signs_its_index_alone_are_both_used(
    place: Make, name: str
) -> None:
    vendors, host = place(lock_of(name))
    rows, roles = vendors.lock.repositories, ["docker", "nvidia_container_toolkit"]
    assert [rows[vendors.lock.components[role].source].signs for role in roles] == [["packages"], ["index"]]
    converged_twice(host, vendors, *roles)
    assert versions(vendors.lock, *roles).items() <= installed(host).items()
    # By the index, dnf checks the digest of what has no signature itself.
    vendors.faults[".rpm"] = ["altered"] * 99
    ask(host, "dnf remove --assumeyes --quiet nvidia-container-toolkit-base >&2; dnf clean packages >&2")
    assert converge(host, vendors, "nvidia_container_toolkit").returncode != 0


# As vendors' pages and packages write them: https://docs.nvidia.com/cuda/cuda-installation-guide-linux/ (cuda-keyring),
# https://docs.docker.com/engine/install/ubuntu/, and NVIDIA's page of the container toolkit.
LISTS = {
    "cuda-ubuntu2404-x86_64.list": "deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] {cuda_deb}/ /\n",
    "docker.sources": (
        "Types: deb\nURIs: {docker_deb}\nSuites: noble\nComponents: stable\nArchitectures: amd64\n"
        "Signed-By: /etc/apt/keyrings/docker.asc\n"
    ),
    "nvidia-container-toolkit.list": (
        "deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg] {nvidia_container_toolkit_deb} /\n"
        "#deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg] https://example.org/experimental /\n"
    ),
}
KEYRINGS = {
    "/usr/share/keyrings/cuda-archive-keyring.gpg": "cuda_deb",
    "/etc/apt/keyrings/docker.asc": "docker_deb",
    "/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg": "nvidia_container_toolkit_deb",
}


def url(vendors: Vendors, name: str) -> str:
    """The address of a repository."""
    return vendors.lock.repositories[name].url


@pytest.mark.parametrize("name", ["ubuntu2404"])
def test_a_host_with_the_vendors_own_lists_for_apt_converges_and_keeps_the_rest_of_them(place: Make, name: str) -> None:
    vendors, host = place(locked(name))
    for file, source in KEYRINGS.items():
        # apt reads a file of several keys, too.
        command = f"mkdir -p {Path(file).parent}; curl -sSf {url(vendors, source)}/key.asc"
        ask(host, f"{command} | {'gpg --dearmor' if file.endswith('.gpg') else 'cat'} >{file}")
    urls = {source: url(vendors, source) for source in KEYRINGS.values()}
    for file, text in LISTS.items():
        docker("exec", "-i", host, "tee", f"/etc/apt/sources.list.d/{file}", stdin=text.format(**urls))
    converged_twice(host, vendors, "imex", "docker", "nvidia_container_toolkit")
    lists = ask(host, "cat /etc/apt/sources.list.d/*")
    assert lists.count("\nEnabled: no") == 1
    assert lists.count("\n# deb [signed-by=") == 2
    assert "#deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg] https://example.org" in lists
    docker("exec", host, "apt-get", "update", "-qq")


REPO = """[{name}]
name={name}
baseurl={url}
enabled=1
gpgcheck=1
gpgkey={url}/key.asc
"""


@pytest.mark.parametrize("name", ["rocky9"])
def test_a_host_with_the_vendors_own_lists_for_dnf_converges(place: Make, name: str) -> None:
    vendors, host = place(lock_of(name))
    for source, theirs in {"cuda_rpm": "cuda-rhel9-x86_64", "docker_rpm": "docker-ce-stable", "epel": "epel"}.items():
        text = REPO.format(name=theirs, url=url(vendors, source))
        docker("exec", "-i", host, "tee", f"/etc/yum.repos.d/{theirs}.repo", stdin=text)
    with_dracut(host)
    converged_twice(host, vendors, "nvidia_driver", "docker")
    assert versions(vendors.lock, "nvidia_driver", "docker").items() <= installed(host).items()
    # What the owner has written is the owner's.
    assert "gpgkey" in ask(host, "cat /etc/yum.repos.d/epel.repo")


@pytest.mark.parametrize("name", ["rocky9"])
def test_a_page_of_keys_without_the_pinned_one_is_refused_by_name(place: Make, name: str) -> None:
    vendors, host = place(lock_of(name))
    row = vendors.lock.repositories["cuda_rpm"]
    page = b"<html><body><h1>Sign in</h1></body></html>"
    for content, said in ((page, "no key"), (None, row.key_fingerprint)):
        rows = {"cuda_rpm": row.model_copy(update={"key_fingerprint": "A" * 40} if content is None else {})}
        file = vendors.folder / "other.yml"
        file.write_text(locks.dump(vendors.lock.model_copy(update={"repositories": rows})))
        vendors.faults["/key.asc"] = [content] if content else []
        done = converge(host, vendors, "imex", ingot_lock=str(file))
        assert done.returncode != 0
        words = " ".join(done.stdout.split())
        assert f"imex: the key at {row.key_url} is " in words
        assert said in words
