"""What systemd says of a boot is understood, and a package owns its files wherever a link leads."""

from pathlib import Path

import pytest

from ingot.image import probe

CHAIN = """The time when unit became active or started is printed after the "@" character.
The time the unit took to start is printed after the "+" character.

graphical.target @38.114s
└─multi-user.target @38.113s
  └─slurmd.service @37.902s +210ms
    └─dev-disk-by\\x2dlabel-ingot\\x2droot.device @1min 2.345s +1.5s
      └─basic.target
        └─-.mount
"""


@pytest.mark.parametrize(
    ("text", "expected"), [("210ms", 0.21), ("1min 2.345s", 62.345), ("38.114s", 38.114), ("2h 3min", 7380), ("", 0)]
)
def test_spans_of_time_are_read_as_systemd_writes_them(text: str, expected: float) -> None:
    assert probe.seconds(text) == pytest.approx(expected)


def test_the_critical_chain_names_each_unit_with_its_times() -> None:
    assert probe.chain_of(CHAIN.splitlines()) == [
        {"unit": "graphical.target", "at": 38.114, "took": 0},
        {"unit": "multi-user.target", "at": 38.113, "took": 0},
        {"unit": "slurmd.service", "at": 37.902, "took": 0.21},
        {"unit": "dev-disk-by\\x2dlabel-ingot\\x2droot.device", "at": 62.345, "took": 1.5},
    ]


def test_the_stages_of_the_boot_are_read() -> None:
    line = "Startup finished in 4.512s (kernel) + 6.100s (initrd) + 1min 2.345s (userspace) = 1min 12.957s "
    assert probe.stages_of(line) == {"kernel": 4.512, "initrd": 6.1, "userspace": 62.345}
    assert probe.stages_of("System has not been booted with systemd as init system (PID 1).") == {}


def test_a_package_owns_a_file_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    owners = probe.packages_of([(f"{tmp_path}/lib/libc.so", "libc6"), (f"{tmp_path}/usr/lib/x", "x")])
    assert owners == {f"{tmp_path}/usr/lib/libc.so": "libc6", f"{tmp_path}/usr/lib/x": "x"}
