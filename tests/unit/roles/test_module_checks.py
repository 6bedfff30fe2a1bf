"""A kernel module is accepted only if it is for the image's kernel and, where there is a key, signed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingot.paths import ROOT

KERNEL = "6.12.118-cloud-amd64"
# What modinfo answers to each question, and the version of nothing else.
MODINFO = """#!/bin/sh
[ "$1 $2 $3 $5" = "-k {kernel} -F nvidia" ] || exit 2
case $4 in
vermagic) echo '{vermagic}' ;;
signer) echo '{signer}' ;;
*) exit 2 ;;
esac
"""
PLAY = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Check the module
      ansible.builtin.include_role:
        name: ingot.ml.component
        tasks_from: check_module
"""
VARIABLES = {
    "component_pin": {"name": "nvidia_driver", "version": "580.126.20"},
    "component_module": "nvidia",
    "component_kernel": KERNEL,
    "component_module_advice": "install the headers of this kernel",
    "component_dkms_version": "580.126.20",
}
SIGNED = {"component_dkms": "nvidia", "component_signing_key": "/dev/shm/key.pem"}
UNSIGNED = (
    f"nvidia_driver 580.126.20: module nvidia for kernel {KERNEL} is not signed, although a signing key is given; "
    f"remove the module with `dkms remove -m nvidia -v 580.126.20 -k {KERNEL}` and apply the role again"
)


@pytest.mark.parametrize(
    ("vermagic", "signer", "variables", "refusal"),
    [
        (f"{KERNEL} SMP", "ingot-test", SIGNED, ""),
        (f"{KERNEL} SMP", "", SIGNED, UNSIGNED),
        # Without a key nobody asks who signed it.
        (f"{KERNEL} SMP", "", {"component_dkms": "nvidia", "component_signing_key": ""}, ""),
        (
            "6.1.0-1 SMP",
            "ingot-test",
            SIGNED,
            f"built for kernel 6.1.0-1, not for kernel {KERNEL}; install the headers",
        ),
    ],
)
def test_a_module_is_refused_with_the_reason_and_the_cure(
    tmp_path: Path, vermagic: str, signer: str, variables: dict[str, str], refusal: str
) -> None:
    modinfo, play = tmp_path / "modinfo", tmp_path / "play.yml"
    modinfo.write_text(MODINFO.format(kernel=KERNEL, vermagic=vermagic, signer=signer))
    modinfo.chmod(0o755)
    play.write_text(PLAY)
    program = Path(sys.prefix, "bin", "ansible-playbook")
    given = json.dumps({**VARIABLES, **variables, "ansible_python_interpreter": sys.executable})
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
        "ANSIBLE_NOCOLOR": "1",
    }
    argv: list[str | Path] = [program, "--inventory", "localhost,", "-e", given, play]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (refusal == ""), done.stdout + done.stderr
    assert refusal in done.stdout
