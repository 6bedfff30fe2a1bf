"""CUDA, NCCL, its tests, Docker and NVIDIA's container toolkit work together, and what the owner has set stays.

Open MPI comes with the installer of EFA, of which the tests of NCCL need a header and a library: both are made here.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from tests.rigs.faults import Fault
from tests.rigs.locks import locked, with_entry
from tests.rigs.places import converge, converged_twice
from tests.rigs.simulated.open_mpi import OPEN_MPI
from tests.rigs.suite import suite
from tests.rigs.systems import SYSTEMS as KINDS
from tests.rigs.systems import container, docker, gateway, image
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["cuda", "nccl", "nccl_tests", "docker", "nvidia_container_toolkit"]
SYSTEMS = ["ubuntu2404", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ubuntu2204", "rocky9", "rhel9"))]
# Where a library is on systems of rpm, and Debian's compiler and loader in their place do not look.
LIB64 = "echo /usr/lib64 >/etc/ld.so.conf.d/simulated.conf"
# Of the toolkit's Go module, and what starts a container without an engine.
TOOLKIT = "github.com/NVIDIA/nvidia-container-toolkit"
PROGRAMS = ["nvidia-ctk", "nvidia-container-runtime", "nvidia-container-runtime-hook", "nvidia-cdi-hook"]
VERSIONLOCK = "/etc/dnf/plugins/versionlock.list"
CONFIG = "/etc/nvidia-container-runtime/config.toml"
DEVICES = """cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: all
  containerEdits:
    env: [SIMULATED_GPU=1]
    deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/null}]
"""
# A container's whole root file system, and as little of a container as crun starts without cgroups of its own.
BUNDLE = """
mkdir -p /bundle/rootfs/dev
cat >/bundle/template.json <<'EOF'
{"ociVersion": "1.0.2", "process": {"args": ["/look"], "cwd": "/"}, "root": {"path": "rootfs"},
 "mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}], "linux": {"namespaces": [{"type": "mount"}]}}
EOF
gcc -static -x c - -o /bundle/rootfs/look <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) { return puts(getenv("SIMULATED_GPU") && access("/dev/nvidia0", R_OK) == 0 ? "a GPU" : "no GPU") < 0; }
EOF
"""
# `create` and `start`, as an engine calls it; `run` is not looked at by NVIDIA's runtime. A container that has ended is
# still there to be deleted.
START = """
nvidia-container-runtime --cgroup-manager=disabled create look >/bundle/said 2>&1 || { cat /bundle/said; exit 1; }
crun start look
while crun state look | grep -Eq '"status": "(created|running)"'; do :; done
cat /bundle/said
crun delete look
"""


def served(os_name: str, folder: Path) -> Any:
    """What a lock names for the roles, served where containers reach it.

    Where a lock does not know Docker's version yet, that of Ubuntu 24.04 stands in for it.
    """
    lock, noble = locked(os_name), locked("ubuntu2404")
    engine = lock.components["docker"].version or noble.components["docker"].version
    return serving(with_entry(lock, "docker", version=engine), ROLES, folder / "vendors", gateway())


@pytest.fixture(scope="module", params=SYSTEMS)
def os_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vendors(os_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    with served(os_name, tmp_path_factory.mktemp("rig")) as made:
        yield made


@pytest.fixture(scope="module")
def host(os_name: str) -> Iterator[str]:
    """A container that the tests of a system share, in their order, as roles of an image follow each other.

    It may make namespaces, by which crun starts a container in it; an engine needs more than that.
    """
    options = ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--env=LIBRARY_PATH=/usr/lib64"]
    with container(image(os_name), *options) as name:
        docker("exec", name, "sh", "-euc", OPEN_MPI + LIB64)
        yield name


def read(host: str, path: str) -> str:
    """A file of the container."""
    return docker("exec", host, "cat", path)


def left(host: str) -> list[str]:
    """What a build has left behind."""
    return docker("exec", host, "sh", "-c", "ls -d /var/tmp/ingot-* /dev/shm/ingot-files/* 2>/dev/null; true").split()


def test_an_image_with_all_of_them_is_as_its_lock_and_a_second_time_changes_nothing(
    host: str, vendors: Vendors
) -> None:
    converged_twice(host, vendors, *ROLES)
    verified = suite(host, vendors.lock_file, ROLES)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "failed" not in verified.stdout
    assert left(host) == []


@pytest.mark.slow
def test_a_look_at_it_changes_nothing(host: str, vendors: Vendors) -> None:
    looked = converge(host, vendors, *ROLES, check=True)
    assert "changed=0 " in looked.stdout, looked.stdout


def test_cuda_is_the_link_of_the_alternatives_and_the_loader_follows_it(host: str, vendors: Vendors) -> None:
    branch = vendors.lock.components["cuda"].version.rpartition(".")[0]
    assert docker("exec", host, "readlink", "-f", "/usr/local/cuda").strip() == f"/usr/local/cuda-{branch}"
    assert f"libcudart.so.{branch.split('.')[0]}" in docker("exec", host, "ldconfig", "-p")


def test_what_the_lock_holds_is_held(host: str, vendors: Vendors) -> None:
    wanted = {name for part in vendors.lock.components.values() if part.hold for name in part.packages}
    if KINDS[vendors.lock.os].kind == "rpm":
        held = {
            line.split(":")[0].rpartition("-")[0] for line in read(host, VERSIONLOCK).splitlines() if line[0] != "#"
        }
    else:
        held = set(docker("exec", host, "apt-mark", "showhold").split())
    assert held == wanted >= {"nvidia-container-toolkit"}


def test_docker_keeps_what_each_role_and_the_owner_have_said(host: str, vendors: Vendors) -> None:
    settings = json.loads(read(host, "/etc/docker/daemon.json"))
    own = settings | {"data-root": "/mnt/docker", "features": {"containerd-snapshotter": True}}
    docker("exec", "-i", host, "sh", "-c", "cat >/etc/docker/daemon.json", stdin=json.dumps(own))
    for roles in (["nvidia_container_toolkit"], ["docker"]):
        assert converge(host, vendors, *roles).returncode == 0
        now = json.loads(read(host, "/etc/docker/daemon.json"))
        assert now == own | {"features": {"containerd-snapshotter": True, "cdi": True}}


def test_another_toolkit_that_the_owner_prefers_is_named(host: str, vendors: Vendors) -> None:
    docker("exec", host, "mkdir", "/usr/local/cuda-99.0")
    words = ["update-alternatives", "--install", "/usr/local/cuda", "cuda", "/usr/local/cuda-99.0", "990"]
    docker("exec", host, *words)
    try:
        done = converge(host, vendors, "cuda")
    finally:
        docker("exec", host, "update-alternatives", "--remove", "cuda", "/usr/local/cuda-99.0")
        docker("exec", host, "rmdir", "/usr/local/cuda-99.0")
    assert done.returncode != 0
    assert "cuda: /usr/local/cuda leads to /usr/local/cuda-99.0, not to /usr/local/cuda-1" in said(done)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What Ansible says, in one line."""
    return " ".join(done.stdout.split())


def test_a_build_that_fails_leaves_the_tests_that_were_there_and_the_next_run_builds(
    host: str, vendors: Vendors
) -> None:
    """Another build is wanted: there is no MPI, the source is another, the compiler dies, and then all is well."""
    there = docker("exec", host, "sha256sum", "/opt/nccl-tests/build/all_reduce_perf")
    docker("exec", host, "sed", "-i", "1s/.*/0.0.0/", "/opt/nccl-tests/version")
    version = vendors.lock.components["nccl_tests"].version
    header = "mv /usr/include/nccl.h /usr/include/nccl.h.away; echo '#error cut off' >/usr/include/nccl.h"
    # What is broken, and mended again; the fault of the vendor; what is said of it.
    broken: list[tuple[str, str, list[Fault], str]] = [
        ("mv /opt/amazon /opt/away", "mv /opt/away /opt/amazon", [], "there is no /opt/amazon/openmpi/include/mpi.h"),
        ("true", "true", ["altered"], f"v{version}.tar.gz of nccl_tests"),
        (header, "mv /usr/include/nccl.h.away /usr/include/nccl.h", [], "cut off"),
    ]
    for away, back, fault, words in broken:
        docker("exec", host, "sh", "-euc", away)
        vendors.faults[".tar.gz"] = fault
        done = converge(host, vendors, "nccl_tests")
        docker("exec", host, "sh", "-euc", back)
        assert done.returncode != 0
        assert words in said(done)
        assert docker("exec", host, "sha256sum", "/opt/nccl-tests/build/all_reduce_perf") == there
        assert left(host) == []
    docker("exec", host, "sh", "-c", "mkdir /var/tmp/ingot-nccl-tests; echo old >/var/tmp/ingot-nccl-tests/old.cu")
    assert converge(host, vendors, "nccl_tests").returncode == 0
    verified = suite(host, vendors.lock_file, ROLES, ["nccl_tests"])
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert left(host) == []


@pytest.fixture(scope="session")
def toolkit() -> Path:
    """The real programs of the toolkit, of the lock's version, built from its Go module."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs Go, to build the real toolkit")
    version = locked("ubuntu2404").components["nvidia_container_toolkit"].version
    folder = paths.cache_dir("rig") / f"nvidia-container-toolkit-{version}"
    if not all((folder / name).exists() for name in PROGRAMS):
        env = {**os.environ, "GOBIN": str(folder), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod -buildvcs=false"}
        words = [go, "install", *(f"{TOOLKIT}/cmd/{name}@v{version}" for name in PROGRAMS)]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def real(host: str, vendors: Vendors, toolkit: Path) -> None:
    """The real toolkit in place of the simulated one, and what starts a container of one static program."""
    if KINDS[vendors.lock.os].kind == "rpm":
        pytest.skip("crun is Debian's; the toolkit's programs are the same on every system")
    assert converge(host, vendors, "docker", "nvidia_container_toolkit").returncode == 0
    for name in PROGRAMS:
        docker("cp", str(toolkit / name), f"{host}:/usr/bin/{name}")
    # In place of the engine's runc, which starts nothing without cgroups that it may write.
    install = "apt-get install -qq --yes --no-install-recommends crun >/dev/null 2>&1; ln -sf crun /usr/bin/runc"
    docker("exec", host, "sh", "-euc", install)
    docker("exec", "-i", host, "sh", "-euc", BUNDLE)


def started(host: str, *environment: str) -> str:
    """Start a container by NVIDIA's runtime, as Docker does; what its program says, or why there is none."""
    spec = json.loads(read(host, "/bundle/template.json"))
    spec["process"]["env"] = ["PATH=/", *environment]
    docker("exec", "-i", host, "sh", "-c", "cat >/bundle/config.json", stdin=json.dumps(spec))
    words = ["docker", "exec", "-w", "/bundle", host, "sh", "-c", START]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_real_toolkit_reads_the_settings_and_would_write_the_same(host: str, vendors: Vendors, real: None) -> None:
    docker("exec", host, "rm", "-f", "/etc/docker/daemon.json", "/etc/nvidia-container-runtime/config.toml")
    docker("exec", host, "nvidia-ctk", "--quiet", "config", f"--config-file={CONFIG}", "--in-place")
    assert converge(host, vendors, "docker", "nvidia_container_toolkit").returncode == 0
    assert 'mode = "auto"' in docker("exec", host, "nvidia-ctk", "config")
    words = ["nvidia-ctk", "runtime", "configure", "--runtime=docker", "--cdi.enabled", "--dry-run"]
    would = docker("exec", host, *words, "--config=/etc/docker/daemon.json")
    assert json.loads(would) == json.loads(read(host, "/etc/docker/daemon.json"))


@pytest.mark.slow
def test_a_container_sees_what_is_described_in_the_mode_that_was_asked_for(
    host: str, vendors: Vendors, real: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real runtime and a real container; a device that every system has stands for a GPU."""
    monkeypatch.setenv("ANSIBLE_DIFF_ALWAYS", "1")
    docker("exec", host, "nvidia-ctk", "--quiet", "config", f"--config-file={CONFIG}", "--in-place")
    docker("exec", "-i", host, "sh", "-euc", "mkdir -p /var/run/cdi; cat >/var/run/cdi/nvidia.yaml", stdin=DEVICES)
    assert "nvidia.com/gpu=all" in docker("exec", host, "nvidia-ctk", "cdi", "list").split()
    for mode, names, sees in (
        ("auto", [], "no GPU"),
        ("auto", ["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=all"], "a GPU"),
        ("cdi", ["NVIDIA_VISIBLE_DEVICES=all"], "a GPU"),
        ("cdi", ["NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=7"], "unresolvable CDI devices nvidia.com/gpu=7"),
        ("jit-cdi", ["NVIDIA_VISIBLE_DEVICES=all"], "failed to initialize NVML"),
    ):
        if f'\nmode = "{mode}"\n' not in read(host, CONFIG):
            done = converge(host, vendors, "nvidia_container_toolkit", nvidia_container_toolkit_mode=mode)
            assert f'+mode = "{mode}"' in done.stdout
        assert sees in started(host, *names), mode
