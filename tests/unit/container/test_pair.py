"""A container goes with a host image of its lock; one of another or of an older lock refuses it with the reason."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ingot.container import probe as pair_probe
from ingot.lock import file as locks
from ingot.model.lock import Lock
from ingot.model.target import Target
from tests.commandline import Completed, ingot

UBUNTU, DEBIAN = (locks.path_of(Target("2026.11", name, "x86_64")) for name in ("ubuntu2404", "debian13"))
OLD = locks.path_of(Target("2025.11", "ubuntu2404", "x86_64"))
NVIDIA = ("cuda", "nccl", "efa", "aws_ofi_nccl")
NONE: Mapping[str, str] = {}
INTERFACES = {"nccl": [9, 10, 11], "aws_ofi_nccl": [8, 9, 10]}
# What `docker` says of an image, and what a program that is run in it prints.
DOCKER = """#!/bin/sh
case "$1" in image) cat {folder}/labels.json ;; run) cat {folder}/probed.json ;; esac
"""


def older(folder: Path, path: Path, components: dict[str, str], packages: Mapping[str, str] = NONE) -> Path:
    """The lock at `path` with other versions; of a component without one, it is left out."""
    lock = locks.load(path)
    kept = {name: entry for name, entry in lock.components.items() if components.get(name, "1")}
    changed = {
        "components": kept | {n: kept[n].model_copy(update={"version": v}) for n, v in components.items() if v},
        "packages": lock.packages
        | {n: lock.packages[n].model_copy(update={"version": v}) for n, v in packages.items()},
        "left_out": lock.left_out | {name: "there was none" for name, version in components.items() if not version},
    }
    made = folder / "host.yml"
    made.write_text(locks.dump(Lock.model_validate(lock.model_copy(update=changed).model_dump(by_alias=True))))
    return made


def manifest(path: Path, roles: tuple[str, ...]) -> dict[str, Any]:
    """The manifest of a container that the lock at `path` and these roles make."""
    lock = locks.load(path)
    part = lock.of(roles)
    return {
        "image": "base",
        "declared": {
            **{key: getattr(lock, key) for key in ("stack", "os", "arch", "left_out")},
            "components": {name: {"version": e.version, "source": e.source} for name, e in part.components.items()},
        },
        "observed": {name: entry.version for name, entry in part.components.items()} | {"kernel": None},
        "packages": {name: package.version for name, package in lock.packages.items()},
    }


def container(folder: Path, path: Path, *roles: str) -> Path:
    made = folder / "container.json"
    made.write_text(json.dumps(manifest(path, roles)))
    return made


Image = Callable[..., str]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """The name of an image in a Docker that says what a framework container of a lock would."""

    def make(path: Path, roles: tuple[str, ...], accelerator: str, wheels: dict[str, str], **interfaces: Any) -> str:
        labels = {"ingot": "container", "ingot.accelerator": accelerator}
        probed = {"manifest": manifest(path, roles), "wheels": wheels, "interfaces": interfaces}
        (tmp_path / "labels.json").write_text(json.dumps(labels))
        (tmp_path / "probed.json").write_text(json.dumps(probed))
        (tmp_path / "docker").write_text(DOCKER.format(folder=tmp_path))
        (tmp_path / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return "ingot/mine:1"

    return make


def compared(*words: str | Path) -> tuple[Completed, dict[str, tuple[str, str]]]:
    """How `ingot pair` ended, and of each row its state and the reason."""
    done = ingot("pair", *words, "--json")
    return done, {row["what"]: (row["state"], row["why"]) for row in json.loads(done.stdout)["compared"]}


def refused(*words: str | Path) -> dict[str, str]:
    """What is refused, and why; the exit status says so too."""
    done, rows = compared(*words)
    found = {what: why for what, (state, why) in rows.items() if state == "refused"}
    assert done.returncode == (1 if found else 0)
    assert json.loads(done.stdout)["fits"] is (not found)
    return found


@pytest.mark.parametrize(("path", "roles"), [(UBUNTU, NVIDIA), (DEBIAN, ("efa",))], ids=["nvidia", "cpu"])
def test_a_container_goes_with_the_host_of_its_lock(path: Path, roles: tuple[str, ...], tmp_path: Path) -> None:
    done, rows = compared(path, container(tmp_path, path, *roles))
    assert done.returncode == 0
    assert {rows[name][0] for name in ("stack", *roles)} == {"same"}
    assert rows["libfabric"][0] == "fits"
    assert rows["driver, CUDA"][0] == ("fits" if "cuda" in roles else "not compared")


def test_a_container_of_another_architecture_is_refused(tmp_path: Path) -> None:
    arm = locks.path_of(Target("2026.11", "ubuntu2404", "aarch64"))
    assert "programs of one architecture" in refused(UBUNTU, container(tmp_path, arm, *NVIDIA))["architecture"]


def test_a_container_of_another_stack_is_refused_with_the_reason(tmp_path: Path) -> None:
    words: list[str | Path] = ["pair", OLD, container(tmp_path, UBUNTU, *NVIDIA)]
    done = ingot(*words)
    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert "stack 2025.11 2026.11 refused" in shown
    assert "ingot container NAME --stack 2025.11" in shown
    assert shown.endswith(f"does not fit {OLD}.")
    assert set(refused(*words[1:])) >= {"stack", "efa", "nccl", "aws_ofi_nccl"}


def test_an_older_driver_than_the_containers_cuda_needs_is_refused_by_the_rule(tmp_path: Path) -> None:
    host = older(tmp_path, UBUNTU, {"nvidia_driver": "570.211.01"})
    found = refused(host, container(tmp_path, UBUNTU, *NVIDIA))
    assert "cuda 13.0.2 needs nvidia_driver >=580, it is 570.211.01" in found.pop("rule cuda-13-driver")
    assert set(found) == {"driver, CUDA"}


def test_what_the_host_breaks_by_itself_is_not_held_against_the_container(tmp_path: Path) -> None:
    host = older(tmp_path, UBUNTU, {"nvidia_driver": "570.211.01"})
    assert refused(host, container(tmp_path, UBUNTU, "efa", "aws_ofi_nccl")) == {}


def test_an_older_lock_of_the_same_stack_is_refused_for_what_both_have(tmp_path: Path) -> None:
    packages = {"libfabric1": "1.17.0-3", "libpmix2t64": "2.2.2-1"}
    host = older(tmp_path, DEBIAN, {"efa": "1.17.0", "kernel": "6.1.1"}, packages)
    found = refused(host, container(tmp_path, DEBIAN, "efa"))
    assert "build both from one" in found["efa"]
    assert found["libfabric"].startswith("the host's must be >=2.1.0: ")
    assert found["pmix"].startswith("the host's must be >=3: ")
    assert set(found) == {"efa", "libfabric", "pmix"}


def test_a_host_without_the_accelerators_driver_is_refused(tmp_path: Path) -> None:
    host = older(tmp_path, UBUNTU, {"nvidia_driver": ""})
    assert "there was none" in refused(host, container(tmp_path, UBUNTU, *NVIDIA))["nvidia_driver"]


def test_what_a_container_for_cpus_has_no_use_for_is_named_and_not_compared(image: Image) -> None:
    wheels = {"nvidia-cuda-runtime": "13.2.86", "nvidia-nccl-cu13": "2.30.7"}
    done, rows = compared(DEBIAN, image(DEBIAN, ("efa",), "cpu", wheels, nccl=[11], aws_ofi_nccl=[]))
    assert done.returncode == 0
    why = "a container for cpu uses no driver and no CUDA"
    assert rows["driver, CUDA"] == ("not compared", why)
    assert rows["NCCL's interface to its plugin"] == ("not compared", "the container has no plugin")
    assert rows["neuron"][0] == "not compared"


def test_the_cuda_that_a_framework_brings_counts(image: Image) -> None:
    found = refused(DEBIAN, image(DEBIAN, ("efa",), "nvidia", {"nvidia-cuda-runtime": "13.2.86"}))
    assert "cuda 13.2.86 needs nvidia_driver >=580, it is 535.274.02" in found["rule cuda-13-driver"]


@pytest.mark.parametrize(
    ("interfaces", "state", "said"),
    [
        (INTERFACES, "fits", ""),
        ({**INTERFACES, "aws_ofi_nccl": [7, 8]}, "refused", "NCCL would use TCP instead of EFA"),
    ],
)
def test_nccl_and_its_plugin_need_an_interface_in_common(
    interfaces: dict[str, list[int]], state: str, said: str, image: Image
) -> None:
    done, rows = compared(UBUNTU, image(UBUNTU, NVIDIA, "nvidia", {}, **interfaces))
    assert rows["NCCL's interface to its plugin"][0] == state
    assert said in rows["NCCL's interface to its plugin"][1]
    assert done.returncode == (state == "refused")


def test_a_manifest_stands_for_the_host_too_with_what_its_base_image_brought(tmp_path: Path) -> None:
    host = tmp_path / "host.json"
    seen = manifest(UBUNTU, NVIDIA)
    host.write_text(json.dumps(seen | {"observed": {**seen["observed"], "nvidia_driver": "570.211.01"}}))
    assert "rule cuda-13-driver" in refused(host, container(tmp_path, UBUNTU, *NVIDIA))


def test_another_system_of_the_stack_is_compared_by_what_crosses(tmp_path: Path) -> None:
    done, rows = compared(UBUNTU, container(tmp_path, DEBIAN, "efa"))
    assert done.returncode == 0
    assert rows["system"][0] == "differs"
    assert "efa" not in rows
    assert rows["libfabric"][0] == "fits"


@pytest.mark.parametrize(
    ("host", "other", "said"),
    [
        ("locks/2026.11/none.yml", "", "no such file"),
        ("none.json", "", "no such file"),
        ("", "none.json", "no such file"),
        ("", "pyproject.toml.json", "no such file"),
    ],
)
def test_a_file_that_is_not_there_is_a_usage_error(host: str, other: str, said: str, tmp_path: Path) -> None:
    done = ingot("pair", host or DEBIAN, other or container(tmp_path, DEBIAN, "efa"))
    assert done.returncode == 2
    assert said in done.stderr


def test_another_image_than_a_container_of_ingot_is_a_usage_error(image: Image, tmp_path: Path) -> None:
    name = image(DEBIAN, ("efa",), "cpu", {})
    (tmp_path / "labels.json").write_text('{"ingot": "1"}')
    done = ingot("pair", DEBIAN, name)
    assert (done.returncode, "is not a framework container of Ingot" in done.stderr) == (2, True)


def test_the_probe_reads_the_frameworks_wheels_and_the_symbols_of_nccl(tmp_path: Path) -> None:
    packages = tmp_path / "opt/ingot/venv/lib/python3.13/site-packages"
    (packages / "nvidia_nccl_cu13-2.30.7.dist-info").mkdir(parents=True)
    (packages / "torch-2.15.0.dist-info").mkdir()
    library = packages / "nvidia/nccl/lib/libnccl.so.2"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"\0ncclNetPlugin_v10\0ncclNetPlugin_v9\0ncclTunerPlugin_v4\0")
    plugin = tmp_path / "opt/amazon/ofi-nccl/lib/x86_64-linux-gnu/libnccl-net-ofi.so"
    plugin.parent.mkdir(parents=True)
    plugin.write_bytes(b"\0ncclNetPlugin_v9\0")
    found = pair_probe.probe(tmp_path)
    assert found["manifest"] is None
    assert found["wheels"] == {"nvidia-nccl-cu13": "2.30.7"}
    assert found["interfaces"] == {"nccl": [9, 10], "aws_ofi_nccl": [9]}
