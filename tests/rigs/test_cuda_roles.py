"""CUDA, NCCL, its tests, Docker and NVIDIA's container toolkit from simulated vendors, and the toolkit's real programs.

Open MPI comes with the installer of EFA, of which the tests of NCCL need a header and a library: both are made here.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from systems import container, docker, gateway, image
from systems import converge as run_play
from vendors import Vendors, serving

from ingot import lock as locks
from ingot import paths

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["cuda", "nccl", "nccl_tests", "docker", "nvidia_container_toolkit"]
SYSTEMS = ["ubuntu2404", pytest.param("ubuntu2204", marks=pytest.mark.slow)]
PLAY = "- hosts: all\n  roles: [{roles}]\n"
# What the role needs of Open MPI, where the installer of EFA puts it.
OPEN_MPI = """
mkdir -p /opt/amazon/openmpi/include /opt/amazon/openmpi/lib
cat >/opt/amazon/openmpi/include/mpi.h <<'EOF'
/* Simulated. */
#ifdef __cplusplus
extern "C" {
#endif
int MPI_Init(int *argc, char ***argv);
int MPI_Finalize(void);
#ifdef __cplusplus
}
#endif
EOF
echo 'int MPI_Init(int *c, char ***v) { return 0; } int MPI_Finalize(void) { return 0; }' |
  gcc -shared -fPIC -Wl,-soname,libmpi.so.40 -x c - -o /opt/amazon/openmpi/lib/libmpi.so.40
ln -s libmpi.so.40 /opt/amazon/openmpi/lib/libmpi.so
"""
# Of the toolkit's Go module, and what starts a container without an engine.
TOOLKIT = "github.com/NVIDIA/nvidia-container-toolkit"
PROGRAMS = ["nvidia-ctk", "nvidia-container-runtime", "nvidia-container-runtime-hook", "nvidia-cdi-hook"]
# A device that every system has stands for a GPU.
DEVICES = """cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: all
  containerEdits:
    env: [SIMULATED_GPU=1]
    deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/null}]
"""


def served(os_name: str, folder: Path) -> Any:
    """What a lock names for the roles, served where containers reach it."""
    lock = locks.load(paths.LOCKS / "2026.11" / f"{os_name}-x86_64.yml")
    return serving(lock, ROLES, folder / "vendors", gateway())


@pytest.fixture(scope="module", params=SYSTEMS)
def os_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vendors(os_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    with served(os_name, tmp_path_factory.mktemp("rig")) as made:
        yield made


@pytest.fixture(scope="module")
def host(os_name: str) -> Iterator[str]:
    """A container that the tests of a system share, in their order, as roles of an image follow each other."""
    with container(image(os_name)) as name:
        docker("exec", name, "sh", "-euc", OPEN_MPI)
        yield name


def converge(
    host: str, vendors: Vendors, *roles: str, facts: dict[str, Any] | None = None, words: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Apply roles; what Ansible says."""
    play = vendors.folder / "play.yml"
    play.write_text(PLAY.format(roles=", ".join(f"ingot.ml.{role}" for role in roles)))
    return run_play(host, play, vendors.lock_file, facts, *words)


def suite(host: str, vendors: Vendors, *components: str) -> str:
    """Run the suite of finished images for components; what pytest says."""
    files = [paths.ROOT / "tests" / "image" / f"test_{name}.py" for name in components]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, files)]
    words += [f"--hosts=docker://{host}", f"--lock={vendors.lock_file}", "--image=parallelcluster"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=paths.ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(host: str, path: str) -> str:
    """A file of the container."""
    return docker("exec", host, "cat", path)


def test_an_image_with_all_of_them_is_as_its_lock_and_a_second_time_changes_nothing(host: str, vendors: Vendors) -> None:
    first = converge(host, vendors, *ROLES)
    assert first.returncode == 0, first.stdout
    second = converge(host, vendors, *ROLES)
    assert "changed=0 " in second.stdout, second.stdout
    looked = converge(host, vendors, *ROLES, words=("--check", "--diff"))
    assert "changed=0 " in looked.stdout, looked.stdout
    assert "failed" not in suite(host, vendors, *ROLES)


def test_cuda_is_the_link_of_the_alternatives_and_the_loader_follows_it(host: str, vendors: Vendors) -> None:
    branch = ".".join(vendors.lock.components["cuda"].version.split(".")[:2])
    assert docker("exec", host, "readlink", "-f", "/usr/local/cuda").strip() == f"/usr/local/cuda-{branch}"
    assert "libcudart.so.13" in docker("exec", host, "ldconfig", "-p")


def test_nccl_and_the_toolkit_are_held_if_the_lock_says_so(host: str, vendors: Vendors) -> None:
    held = set(docker("exec", host, "apt-mark", "showhold").split())
    wanted = {name for part in vendors.lock.components.values() if part.hold for name in part.packages}
    assert held == wanted >= {"nvidia-container-toolkit"}


def test_docker_keeps_what_each_role_and_the_owner_have_said(host: str, vendors: Vendors) -> None:
    settings = json.loads(read(host, "/etc/docker/daemon.json"))
    own = settings | {"data-root": "/mnt/docker", "features": {"cdi": True, "containerd-snapshotter": True}}
    docker("exec", "-i", host, "sh", "-c", "cat >/etc/docker/daemon.json", stdin=json.dumps(own))
    for roles in (["nvidia_container_toolkit"], ["docker"], ["nvidia_container_toolkit", "docker"]):
        assert converge(host, vendors, *roles).returncode == 0
        assert json.loads(read(host, "/etc/docker/daemon.json")) == own


def test_the_runtimes_mode_is_as_asked_for(host: str, vendors: Vendors) -> None:
    for mode in ("cdi", "auto"):
        facts = {"nvidia_container_toolkit_mode": mode}
        done = converge(host, vendors, "nvidia_container_toolkit", facts=facts, words=("--diff",))
        assert f'+mode = "{mode}"' in done.stdout
        assert read(host, "/etc/nvidia-container-runtime/config.toml").count(f'\nmode = "{mode}"\n') == 1


def test_another_toolkit_that_the_owner_prefers_is_named(host: str, vendors: Vendors) -> None:
    docker("exec", host, "mkdir", "/usr/local/cuda-99.0")
    words = ["update-alternatives", "--install", "/usr/local/cuda", "cuda", "/usr/local/cuda-99.0", "990"]
    docker("exec", host, *words)
    try:
        done = converge(host, vendors, "cuda")
        assert done.returncode != 0
        assert "/usr/local/cuda leads to /usr/local/cuda-99.0, not to /usr/local/cuda-13.0" in " ".join(done.stdout.split())
    finally:
        docker("exec", host, "update-alternatives", "--remove", "cuda", "/usr/local/cuda-99.0")
        docker("exec", host, "rmdir", "/usr/local/cuda-99.0")
    assert converge(host, vendors, "cuda").returncode == 0


def test_a_build_that_fails_leaves_the_tests_that_were_there_and_the_next_run_builds(
    host: str, vendors: Vendors
) -> None:
    """The lock asks for another build, and the compiler dies of it."""
    there = docker("exec", host, "sha256sum", "/opt/nccl-tests/build/all_reduce_perf")
    docker("exec", host, "sed", "-i", "1s/.*/0.0.0/", "/opt/nccl-tests/version")
    docker("exec", host, "mv", "/usr/include/nccl.h", "/usr/include/nccl.h.away")
    docker("exec", host, "sh", "-c", "echo '#error cut off' >/usr/include/nccl.h")
    done = converge(host, vendors, "nccl_tests")
    assert done.returncode != 0
    assert "cut off" in done.stdout
    assert docker("exec", host, "sha256sum", "/opt/nccl-tests/build/all_reduce_perf") == there
    assert left(host) == []
    docker("exec", host, "mv", "/usr/include/nccl.h.away", "/usr/include/nccl.h")
    docker("exec", host, "sh", "-c", "mkdir /var/tmp/ingot-nccl-tests; echo old >/var/tmp/ingot-nccl-tests/old.cu")
    assert converge(host, vendors, "nccl_tests").returncode == 0
    suite(host, vendors, "nccl_tests")
    assert left(host) == []


def left(host: str) -> list[str]:
    """What a build has left behind."""
    return docker("exec", host, "sh", "-c", "ls -d /var/tmp/ingot-* /dev/shm/ingot-files/* 2>/dev/null; true").split()


@pytest.mark.parametrize(
    "fault", ["altered", pytest.param("truncated", marks=pytest.mark.slow), pytest.param(404, marks=pytest.mark.slow)]
)
def test_another_source_than_the_locks_is_refused(host: str, vendors: Vendors, fault: int | str) -> None:
    docker("exec", host, "rm", "-rf", "/opt/nccl-tests")
    vendors.faults[".tar.gz"] = [fault]
    done = converge(host, vendors, "nccl_tests")
    assert done.returncode != 0
    assert f"v{vendors.lock.components['nccl_tests'].version}.tar.gz of nccl_tests" in done.stdout
    assert left(host) == []
    assert docker("exec", host, "sh", "-c", "ls /opt").split() == ["amazon"]
    assert converge(host, vendors, "nccl_tests").returncode == 0


def test_it_says_what_the_tests_of_nccl_need(vendors: Vendors, os_name: str) -> None:
    with container(image(os_name)) as bare:
        done = converge(bare, vendors, "nccl_tests")
        assert done.returncode != 0
        said = " ".join(done.stdout.split())
        assert "there is no /usr/local/cuda/bin/nvcc, /usr/include/nccl.h, /opt/amazon/openmpi/include/mpi.h; apply" in said
        assert left(bare) == []


@pytest.fixture(scope="session")
def toolkit() -> Path:
    """The real programs of the toolkit, of the lock's version, built from the Go module."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs Go")
    lock = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    version = lock.components["nvidia_container_toolkit"].version
    folder = paths.cache_dir("rig") / f"nvidia-container-toolkit-{version}"
    env = {**os.environ, "GOBIN": str(folder), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod -buildvcs=false"}
    flags = f"-X {TOOLKIT}/internal/info.version={version}"
    if not all((folder / name).exists() for name in PROGRAMS):
        words = [go, "install", "-ldflags", flags, *(f"{TOOLKIT}/cmd/{name}@v{version}" for name in PROGRAMS)]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return folder
