"""The collection as Ansible Galaxy hands it out: its archive, and the folder that the archive becomes."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from ingot import paths

BIN = Path(sys.prefix) / "bin"
ROLES = sorted(path.parent.parent.name for path in paths.ROOT.glob("roles/*/meta/argument_specs.yml"))

# Applied before a role: what its module, or its program, is compiled against.
NEEDS = {
    "nvidia_driver": ["kernel"],
    "gdrcopy": ["kernel", "nvidia_driver"],
    "neuron": ["kernel"],
    "lustre": ["kernel"],
    "nccl": ["cuda"],
    "aws_ofi_nccl": ["cuda", "efa"],
    "nccl_tests": ["cuda", "nccl", "efa"],
    "pyxis": ["slurm", "enroot"],
    "dcgm_exporter": ["dcgm"],
    "nvidia_container_toolkit": ["docker"],
}


def run(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this Python's environment, and no other; what it says."""
    given = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.defpath}", "ANSIBLE_NOCOLOR": "1", **env}
    return subprocess.run(words, env=given, capture_output=True, text=True, check=False)


def archive(folder: Path) -> Path:
    """What `ansible-galaxy collection build` makes in `folder`."""
    done = run(BIN / "ansible-galaxy", "collection", "build", "--output-path", folder, paths.ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = folder.glob("ingot-ml-*.tar.gz")
    return file


def installed(file: Path, home: Path) -> Path:
    """The collection that an archive becomes below `home`, which has nothing else."""
    words: list[str | Path] = ["collection", "install", "--offline", "--no-deps", "-p", home, file]
    done = run(BIN / "ansible-galaxy", *words, ANSIBLE_COLLECTIONS_PATH=str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "ansible_collections" / "ingot" / "ml"


def core(folder: Path, python: str) -> None:
    """Install ansible-core and what it needs into `folder`, of the digests in requirements/dev.txt."""
    words: list[str | Path] = ["--require-hashes", "--constraint", paths.ROOT / "requirements" / "dev.txt"]
    words += ["--only-binary", ":all:", "--python-version", python]
    words += ["--python-platform", "x86_64-manylinux_2_40", "--target", folder]
    done = run(BIN / "uv", "pip", "install", "--quiet", *words, f"ansible-core=={version('ansible-core')}")
    assert done.returncode == 0, done.stderr
