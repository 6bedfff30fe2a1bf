"""What is asked of the package manager is what is not there in its version: a package that is there in another is."""

import pytest

from plugins.filter.not_installed import not_installed

PINS = [{"name": "libnccl2", "version": "2.31.2-1+cuda13.3"}, {"name": "nvidia-open", "version": "3:580.126.20-1.el9"}]


@pytest.mark.parametrize(
    ("installed", "missing"),
    [
        ({}, PINS),
        ({"libnccl2": "2.31.2-1+cuda13.3"}, PINS[1:]),
        ({"libnccl2": "2.30.7-1+cuda13.3", "nvidia-open": "3:580.126.20-1.el9"}, PINS[:1]),
        # Another build, another epoch, and one whose version begins alike.
        ({"libnccl2": "2.31.2-1+cuda12.9", "nvidia-open": "580.126.20-1.el9"}, PINS),
        ({"libnccl2": "2.31.2-1+cuda13.3.1", "nvidia-open": "3:580.126.20-1.el9"}, PINS[:1]),
        ({"libnccl2": "2.31.2-1+cuda13.3", "nvidia-open": "3:580.126.20-1.el9", "other": "1"}, []),
    ],
)
@pytest.mark.parametrize(("manager", "sign"), [("apt", "="), ("dnf", "-")])
def test_a_package_is_missing_unless_it_is_there_in_its_version(
    installed: dict[str, str], missing: list[dict[str, str]], manager: str, sign: str
) -> None:
    assert not_installed(PINS, installed, manager) == [f"{pin['name']}{sign}{pin['version']}" for pin in missing]
