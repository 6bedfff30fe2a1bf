"""Filters of roles speak of packages as the host's package manager does, and change little of its lists."""

import pytest

from plugins.filter.apt_disabled import apt_disabled
from plugins.filter.not_installed import not_installed

CUDA = {"name": "cuda_deb", "url": "https://n.example/repos/ubuntu2404/x86_64", "suites": [], "components": []}
DOCKER = {"name": "docker_deb", "url": "https://docker.example/ubuntu", "suites": ["noble"], "components": ["stable"]}
TOOLKIT = {"name": "toolkit_deb", "url": "https://n.example/stable/deb/amd64", "suites": [], "components": []}
STANZA = "Types: deb\nURIs: https://docker.example/ubuntu/\nSuites: {suite}\nComponents: stable\n"


def test_a_package_that_may_have_any_version_is_asked_for_by_name_and_only_where_it_is_missing() -> None:
    pins = [{"name": "dkms", "version": ""}, {"name": "nvidia-open", "version": "3:580.126.20-1.el9"}]
    assert not_installed(pins, {}, "dnf") == ["dkms", "nvidia-open-3:580.126.20-1.el9"]
    assert not_installed(pins, {"dkms": "3.2.1-1", "nvidia-open": "3:580.126.20-1.el9"}, "dnf") == []
    assert not_installed(pins[:1], {}) == ["dkms"]


@pytest.mark.parametrize(
    ("repository", "line"),
    [
        (
            CUDA,
            "deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] https://n.example/repos/ubuntu2404/x86_64/ /",
        ),
        (DOCKER, "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] https://docker.example/ubuntu noble stable"),
        (TOOLKIT, "deb [signed-by=/x.gpg] https://n.example/stable/deb/$(ARCH) /"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_an_entry_of_one_line_is_commented_out_once(repository: dict[str, object], line: str) -> None:
    before = f"# By hand\n{line}\ndeb http://archive.example/ubuntu noble main\n"
    after = apt_disabled(before, repository)
    assert after.splitlines()[2] == f"# {line}"
    assert after.replace(after.splitlines()[1] + "\n", "").replace(f"# {line}", line) == before
    assert apt_disabled(after, repository) == after


def test_an_entry_of_several_lines_is_disabled_once_and_its_neighbours_are_not() -> None:
    before = STANZA.format(suite="noble") + "\n" + STANZA.format(suite="noble-test")
    after = apt_disabled(before, DOCKER)
    assert after.count("Enabled: no") == 1
    assert after.endswith(STANZA.format(suite="noble-test"))
    assert apt_disabled(after, DOCKER) == after
    enabled = f"Enabled: yes\n{STANZA.format(suite='noble')}"
    assert "Enabled: yes" not in apt_disabled(enabled, DOCKER)


def test_other_repositories_stay_as_they_are() -> None:
    for text in ("deb https://docker.example/ubuntu jammy stable", STANZA.format(suite="jammy"), "", "# deb x y\n"):
        assert apt_disabled(text, DOCKER) == text
