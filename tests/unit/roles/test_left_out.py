"""A role whose component the lock leaves out gives the reason and changes nothing; mains leave that to one place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from ingot.paths import ROOT

APPLIED = sorted(
    path.parents[1].name for path in ROOT.glob("roles/*/tasks/main.yml") if "tasks_from: apply" in path.read_text()
)


def test_every_role_of_a_component_that_is_left_out_says_why_and_changes_nothing(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    tasks = [{"ansible.builtin.include_role": {"name": f"ingot.ml.{role}"}} for role in APPLIED]
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "connection": "local", "tasks": tasks}]))
    given: dict[str, object] = {"ansible_python_interpreter": sys.executable}
    for role in APPLIED:
        reason = f"no source of {role}"
        given[f"{role}_pin"] = {
            "name": role,
            "left_out": reason,
            "missing": {role: reason},
            "packages": [],
            "facts": {},
        }
    argv = [str(Path(sys.prefix, "bin", "ansible-playbook")), "--inventory", "localhost,", "-e", json.dumps(given)]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"), "ANSIBLE_NOCOLOR": "1"}
    env["ANSIBLE_HOME"] = str(tmp_path)
    done = subprocess.run(
        [*argv, "-e", f"ingot_lock={lock()}", play], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert [role for role in APPLIED if f'"{role} is left out: no source of {role}"' not in done.stdout] == []
    assert "changed=0 " in done.stdout


def lock() -> Path:
    """A lock in place of one for this machine."""
    return max((ROOT / "locks").iterdir()) / "debian13-x86_64.yml"


def test_no_main_asks_again_whether_its_component_is_left_out() -> None:
    mains = [path for path in ROOT.glob("roles/*/tasks/main.yml") if "left_out" in path.read_text()]
    assert mains == []
    assert len(APPLIED) > 20
