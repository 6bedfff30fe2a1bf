"""A machine whose kernel panics is given up at once; one that the emulator is to blame for is booted a second time."""

from pathlib import Path

import pytest

from ingot.errors import IngotError
from ingot.image import machine, qemu

# Says its words for the boot that it is, and then nothing more.
QEMU = """#!/bin/sh
set -eu
for word; do case $word in file:*) console=${{word#file:}} ;; esac; done
echo boot >> {boots}
if [ "$(wc -l < {boots})" = 1 ]; then echo "{first}" > "$console"; else echo "{second}" > "$console"; fi
exec sleep 1000
"""
PANIC = "Kernel panic - not syncing: Fatal exception"
EMULATOR = f"Oops: int3: 0000\n{PANIC} in interrupt"


def boots(folder: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str, first: str, second: str) -> tuple[int, str]:
    """How often the machine was booted, and what the error says."""
    program, count, disk = folder / "qemu", folder / "boots", folder / "disk.raw"
    program.write_text(QEMU.format(boots=count, first=first, second=second))
    program.chmod(0o755)
    disk.touch()
    for module in (machine, qemu):
        monkeypatch.setattr(module, "QEMU", str(program))
    monkeypatch.setattr(machine, "accelerator", lambda: accelerator)
    with (
        pytest.raises(IngotError, match="the kernel panicked") as caught,
        machine.boot(disk, log=folder / "boot.log", firmware=qemu.Firmware(disk, disk)),
    ):
        pass
    return len(count.read_text().splitlines()), str(caught.value)


def test_a_panic_is_an_error_with_the_kernels_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number, said = boots(tmp_path, monkeypatch, "tcg", PANIC, "")
    assert number == 1
    assert PANIC in said
    assert str(tmp_path / "console.log") in said


def test_a_panic_by_the_emulators_fault_is_booted_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boots(tmp_path, monkeypatch, "tcg", EMULATOR, EMULATOR)[0] == 2


def test_a_real_processor_has_no_such_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boots(tmp_path, monkeypatch, "kvm", EMULATOR, "")[0] == 1
