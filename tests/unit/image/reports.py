"""A report as a build writes it, for tests of what is made of reports."""

from typing import Any

from ingot.catalog.read import read_catalog

ROLES = read_catalog().images["parallelcluster-cpu"].roles
# Each role takes as many seconds as its place in the image.
BEGINNINGS = [40 + sum(range(number)) for number in range(len(ROLES))]


def _span(kind: str, name: str, begin: float, seconds: float, within: str = "") -> dict[str, Any]:
    return {"kind": kind, "name": name, "begin": begin, "seconds": seconds, "within": within}


def report(**facts: Any) -> dict[str, Any]:
    """A report of a local build of parallelcluster-cpu, with some facts replaced."""
    both = "disk and suite on the image"
    seconds = {"set-up": 1.0, "artifacts": 30.0, "base": 5.0, "converge": 120.0, both: 60.0, "boot": 50.0}
    seconds["suite in the machine"] = 40.0
    begin, timeline = 0.0, []
    for name, taken in seconds.items():
        timeline.append(_span("phase", name, begin, taken))
        begin += taken
    timeline += [_span("part", "disk", 156, 60, both), _span("part", "suite on the image", 156, 45, both)]
    for number, (role, begin) in enumerate(zip(ROLES, BEGINNINGS, strict=True)):
        timeline.append(_span("role", role, begin, number, "converge"))
    timeline.append(_span("task", "Install <b>the packages</b> of slurm", BEGINNINGS[3], 2.5, "slurm"))
    return {
        "image": "parallelcluster-cpu",
        "stack": "2026.11",
        "os": "debian13",
        "arch": "x86_64",
        "finished": "2026-12-01T12:00:00+00:00",
        "inputs_sha256": "0123456789ab" + "c" * 52,
        "git_commit": "f" * 40,
        "declared": {"kernel": "6.12.118-1", "efa": "1.43.2", "slurm": "24.11.5"},
        "observed": {"kernel": "6.12.118-1", "efa": "1.43.2", "slurm": "24.11.5"},
        "grades": {"kernel": "digest", "efa": "digest", "slurm": "signature"},
        "left_out": {"efa.kmod": "Debian has no package of it <for this kernel>"},
        "seconds": seconds,
        "role_seconds": {role: float(number) for number, role in enumerate(ROLES)},
        "timeline": timeline,
        "space": {
            "base system": {"libc6": 20 << 20, "coreutils": 18 << 20, "perl-base": 8 << 20},
            "kernel": {"linux-image-6.12.118-cloud-amd64": 120 << 20},
            "slurm": {"slurmd": 30 << 20, "slurmctld": 6 << 20},
            "no package": {"/usr/lib/modules": 40 << 20, "other files": 3 << 20},
        },
        "packages": {"libc6": "2.41-12", "slurmd": "24.11.5-4"},
        "size": {"disk_bytes": 6 << 30, "disk_allocated_bytes": 1 << 30},
        "boot": {
            "wall_seconds": 48.2,
            "systemd": "Startup finished in 5.1s (kernel) + 3.0s (initrd) + 38.2s (userspace) = 46.3s",
            "stages": {"kernel": 5.1, "initrd": 3.0, "userspace": 38.2},
            "chain": [{"unit": "multi-user.target", "at": 38.2, "took": 0.0}],
            "slow": {"cloud-init.service": 6.2},
            "failed": [],
        },
        "budgets": {},
        "over_budget": [],
        "suite": {
            "image": {"passed": 40, "skipped": 2, "skips": [["test_gpu.py::test_it", "no GPU"]], "seconds": 20.0},
            "machine": {"passed": 60, "skipped": 3, "skips": [], "seconds": 31.0},
        },
        **facts,
    }
