"""What every test of a finished image shares: the host, the lock that it must equal, and what the place can do.

Run by `ingot verify URI`; by hand: `pytest tests/image --hosts=docker://NAME --lock=LOCK --image=parallelcluster`.
"""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import testinfra
import yaml
from testinfra.host import Host

from ingot.catalog.read import read_catalog
from ingot.lock.file import load
from ingot.lock.grade import rules
from ingot.model.component import Brought
from ingot.model.lock import Lock, LockedComponent
from ingot.model.types import BASE_IMAGE, DISTRIBUTION
from ingot.paths import ROOT, own_catalog
from ingot.yamlfile import Loader

MANIFEST = "/usr/share/ingot/manifest.json"
ON_BASE_IMAGE = "holds upon a base image, which brings a system and a kernel"
OF_BASE_IMAGE = "holds where the system is made of the lock: an AMI has what its base image has"
NO_IMAGE = "tests a finished image: `ingot verify` runs it"
UNFINISHED = "holds for a machine of the finished image: a builder has its base's identity, and began without its units"
MARKERS = {
    "booted": "needs a running system: nothing has booted this image",
    "machine": "needs a running machine with its own kernel: a container runs on its host's",
    "gpu": "needs an NVIDIA GPU: the machine has none",
    "no_gpu": "holds where there is no NVIDIA GPU: the machine has one",
    "sealed": "holds until the first boot: this image has been booted",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ingot")
    group.addoption("--lock", type=Path, required=True, help="the lock that the image was built from")
    group.addoption("--image", required=True, help="the image's name in catalog/images.yml")
    group.addoption("--target", choices=["local", "instance", "ami"], default="local", help="where it was built")


def pytest_configure(config: pytest.Config) -> None:
    for name, reason in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {reason}")
    config.addinivalue_line("markers", f"own_base: {OF_BASE_IMAGE}")
    config.addinivalue_line("markers", f"on_base: {ON_BASE_IMAGE}")
    config.addinivalue_line("markers", f"finished: {UNFINISHED}")
    config.addinivalue_line("markers", "part(name): tests a part of the component, which the lock may leave out")
    if not _has_image(config):
        return
    images, name = read_catalog(own=own_catalog()).images, config.getoption("--image")
    if name not in images:
        raise pytest.UsageError(f"unknown image {name!r}; known: {', '.join(sorted(images))}")
    lock, image = load(config.getoption("--lock")), images[name]
    base = lock.base_image(name, image) if config.getoption("--target") != "local" else ""
    row = lock.base_images[base] if base else None
    config.stash[BROUGHT] = brought = row.brings if row else {}
    config.stash[FAILING] = frozenset(row.fails if row else {})
    own = image.without(brought)
    # Of what a base image brings, Ingot configures these.
    config.stash[ROLES] = frozenset([*own.roles, *_adopted().intersection(image.roles)])
    config.stash[LOCK] = lock.of(own.roles)


def _has_image(config: pytest.Config) -> bool:
    """Whether an image is named: the options are there only where this folder is named on the command line."""
    return config.getoption("--image", None) is not None


def _adopted() -> frozenset[str]:
    """The roles that also have steps for a base image that brings their components."""
    (play,) = yaml.load((ROOT / "playbooks" / "image.yml").read_text(), Loader)
    return frozenset(play["vars"]["ingot_adopted"])


LOCK = pytest.StashKey[Lock]()
ROLES = pytest.StashKey[frozenset[str]]()
BROUGHT = pytest.StashKey[dict[str, Brought]]()
FAILING = pytest.StashKey[frozenset[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests of components that this lock leaves out or that this image does not have; all without an image."""
    if not _has_image(config):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=NO_IMAGE))
        return
    lock, roles, name = config.stash[LOCK], config.stash[ROLES], config.getoption("--image")
    known = {path.name for path in (ROOT / "roles").iterdir()}
    # What must be untouched is looked at before another test leaves something behind.
    items.sort(key=lambda item: item.get_closest_marker("sealed") is None)
    for item in items:
        component = _component_of(item)
        parts = [component, *(f"{component}.{marker.args[0]}" for marker in item.iter_markers("part"))]
        if config.getoption("--target") != "local" and item.get_closest_marker("own_base"):
            item.add_marker(pytest.mark.skip(reason=OF_BASE_IMAGE))
        if config.getoption("--target") == "local" and item.get_closest_marker("on_base"):
            item.add_marker(pytest.mark.skip(reason=ON_BASE_IMAGE))
        if config.getoption("--target") == "instance" and item.get_closest_marker("finished"):
            item.add_marker(pytest.mark.skip(reason=UNFINISHED))
        if component in known - roles:
            item.add_marker(pytest.mark.skip(reason=f"image {name} has no {component}"))
        for part in parts:
            if part in lock.left_out:
                item.add_marker(pytest.mark.skip(reason=f"the lock leaves out {part}: {lock.left_out[part]}"))


def _component_of(item: pytest.Item) -> str:
    return item.path.stem.removeprefix("test_")


@dataclass(frozen=True)
class Place:
    """Where the image is looked at; each field is named after the marker that asks for it."""

    booted: bool
    machine: bool
    gpu: bool
    no_gpu: bool
    sealed: bool


@dataclass(frozen=True)
class Package:
    """A package that dpkg or rpm has installed; `needs` are the packages that it needs in one exact version."""

    version: str
    held: bool
    needs: frozenset[str]


@pytest.fixture(scope="session")
def host(pytestconfig: pytest.Config) -> Iterator[Host]:
    """The host under test as root, over one connection; replaces testinfra's fixture, which lives for one file only."""
    uri = pytestconfig.option.hosts or "local://"
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        found = testinfra.get_host(
            uri,
            ssh_config=pytestconfig.option.ssh_config,
            ssh_identity_file=pytestconfig.option.ssh_identity_file,
            controlpath=f"{folder}/ssh",
        )
        try:
            user = found.run("id -u")
        except RuntimeError as error:
            user = error.args[0]
        if user.rc != 0:
            pytest.exit(f"cannot reach {uri}: {user.stderr.strip()}", returncode=pytest.ExitCode.INTERNAL_ERROR)
        if user.stdout.strip() != "0":
            found.backend.sudo = True
        yield found
        if Path(folder, "ssh").exists():
            found.backend.run_local("ssh -o ControlPath=%s -O exit ingot", f"{folder}/ssh")


# Without groups, capabilities or a home; Python is on every machine that Ansible has made, setpriv is not.
NOBODY = (
    "import os, sys; os.chdir('/'); os.setgroups([]); os.setgid(65534); os.setuid(65534);"
    "os.execvp('sh', ['sh', '-c', sys.argv[1]])"
)


@pytest.fixture(scope="session")
def as_user(host: Host) -> Callable[[str], str]:
    """Run a shell command as an ordinary user, which succeeds; its output."""

    def run(command: str) -> str:
        return str(host.check_output("python3 -c %s %s", NOBODY, command)).strip()

    return run


@pytest.fixture(scope="session")
def place(host: Host) -> Place:
    """What the place can do, asked in one command."""
    seen = host.check_output(
        "test -d /run/systemd/system && echo booted;"
        "test -e /.dockerenv || systemd-detect-virt --quiet --container || echo machine;"
        "grep -lsx 0x10de /sys/bus/pci/devices/*/vendor; true"
    ).split()
    booted, machine = "booted" in seen, "machine" in seen
    gpu = any(line.startswith("/sys/") for line in seen)
    # Where one logs in to it, it has been started, with an init or without.
    sealed = not booted and host.backend.get_connection_type() == "docker"
    return Place(booted, booted and machine, gpu, not gpu, sealed)


@pytest.fixture(autouse=True)
def _skip_what_the_place_cannot_do(request: pytest.FixtureRequest, place: Place) -> None:
    for name, reason in MARKERS.items():
        if request.node.get_closest_marker(name) and not getattr(place, name):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def lock(pytestconfig: pytest.Config) -> Lock:
    """The image's part of the lock that it was built from: every expected value comes from it."""
    return pytestconfig.stash[LOCK]


@pytest.fixture(scope="session")
def whole_lock(pytestconfig: pytest.Config) -> Lock:
    """All of the lock, with what other images have and what an AMI's base image brings."""
    return load(pytestconfig.getoption("--lock"))


@pytest.fixture(scope="session")
def brought(pytestconfig: pytest.Config) -> dict[str, Brought]:
    """What an AMI's base image brings of components."""
    return pytestconfig.stash[BROUGHT]


@pytest.fixture(scope="session")
def failing(pytestconfig: pytest.Config) -> frozenset[str]:
    """The units that fail on the AMI's base image outside a cluster."""
    return pytestconfig.stash[FAILING]


@pytest.fixture(scope="session")
def release(host: Host, whole_lock: Lock, brought: dict[str, Brought]) -> str:
    """The release of the image's kernel: the lock's, or that which runs where the base image brings its own."""
    kernel = whole_lock.components.get("kernel")
    of_lock = kernel is not None and ("kernel" not in brought or kernel.source == BASE_IMAGE)
    known = str(kernel.facts.get("release", "")) if kernel and of_lock else ""
    return known or host.check_output("uname -r")


@pytest.fixture
def pin(request: pytest.FixtureRequest, lock: Lock) -> LockedComponent:
    """The lock's entry of the component that this test file is named after."""
    return lock.components[_component_of(request.node)]


# A line of a package: name, version, whether it is held, and what it needs: `name (= version)`, or `name = version`.
DPKG = "${db:Status-Status}\\t${Package}\\t${Version}\\t${db:Status-Want}\\t${Pre-Depends}, ${Depends}\\n"
RPM_NEEDS = "[%{REQUIRENAME}%{REQUIREFLAGS:depflags}%{REQUIREVERSION}, ]"
RPM = f"%{{NAME}}\\t%|EPOCH?{{%{{EPOCH}}:}}|%{{VERSION}}-%{{RELEASE}}\\t{RPM_NEEDS}\\n"


@pytest.fixture(scope="session")
def family(lock: Lock) -> str:
    """The family of the image's system, as Ansible calls it: `Debian` or `RedHat`."""
    return lock.system.family


@pytest.fixture(scope="session")
def installed(host: Host, family: str) -> dict[str, Package]:
    """Every package that dpkg or rpm has installed, asked once."""
    return _rpms(host) if family == "RedHat" else _debs(host)


def _debs(host: Host) -> dict[str, Package]:
    packages = {}
    for line in host.check_output("dpkg-query --show --showformat=%s", DPKG).splitlines():
        status, name, version, want, needs = line.split("\t")
        if status == "installed":
            exact = frozenset(re.findall(r"([a-z0-9][a-z0-9+.-]+)(?::\w+)? \(= ", needs))
            packages[name] = Package(version, want == "hold", exact)
    return packages


def _rpms(host: Host) -> dict[str, Package]:
    # dnf's versionlock excludes what is not in its list, which it writes as name-epoch:version-release.arch.
    listed = host.run("cat /etc/dnf/plugins/versionlock.list").stdout
    packages = {}
    for line in host.check_output("rpm --query --all --queryformat %s", RPM).splitlines():
        name, version, needs = line.split("\t")
        entry = f"{name}-{version if ':' in version else f'0:{version}'}.*"
        exact = frozenset(re.findall(r"(?:^|, )([\w+.-]+) *=", needs))
        # What rpm calls a key that it trusts.
        if name != "gpg-pubkey":
            packages[name] = Package(version.removeprefix("0:"), entry in listed.splitlines(), exact)
    return packages


# Packages that are a kernel, belong to one, or draw one in.
KERNELS = {
    "Debian": r"linux-(image|headers|modules|aws)(-.+)?",
    "RedHat": r"kernel(6\.\d+)?(-core|-modules.*|-devel)?",
}


@pytest.fixture(scope="session")
def kernels(installed: dict[str, Package], family: str, brought: dict[str, Brought]) -> frozenset[str]:
    """The packages of the kernel that a base image brings; none where the lock's is installed."""
    if "kernel" not in brought:
        return frozenset()
    return frozenset(name for name in installed if re.fullmatch(KERNELS[family], name))


@pytest.fixture(scope="session")
def unpacked(host: Host) -> dict[str, str]:
    """Every wheel that is unpacked on the host, asked once: name -> version."""
    places = "$(ls -d /opt/ingot /usr/local/cuda*/ 2>/dev/null)"
    lines = host.check_output(f"find {places} /nonexistent -name '*.dist-info' 2>/dev/null; true").splitlines()
    names = (Path(line).name.removesuffix(".dist-info").rsplit("-", 1) for line in lines)
    return {name.replace("_", "-"): version for name, version in names}


@pytest.fixture
def settings_of(host: Host, unit_files: dict[str, str]) -> Callable[[str], str]:
    """What Ingot adds to a unit, which starts at boot."""

    def settings(unit: str) -> str:
        assert unit_files.get(unit) == "enabled"
        text: str = host.file(f"/etc/systemd/system/{unit}.d/ingot.conf").content_string
        return text

    return settings


@pytest.fixture
def outcome_of(host: Host) -> Callable[[str], list[str]]:
    """Whether a unit runs, and how its last start ended, as systemd says it."""
    return lambda unit: sorted(host.check_output(f"systemctl show --property ActiveState,Result {unit}").splitlines())


@pytest.fixture
def drift(pin: LockedComponent, lock: Lock, installed: dict[str, Package], unpacked: dict[str, str]) -> dict[str, str]:
    """The packages and wheels of this file's component that are not as the lock says: name -> what is there instead."""
    exact = {name: package.version for name, package in lock.packages.items()}
    exact |= {name: package.version for name, package in pin.files.items()}
    # What is not recorded is as exact as the lock; the base image decides the version of its own packages.
    entry, based = pin.model_dump(), pin.source in (DISTRIBUTION, BASE_IMAGE)
    wanted = {
        name: exact.get(name, "" if based else rules.wanted(entry, name))
        for name in pin.packages
        if name != pin.facts.get("unpacked")
    }
    # Of the system's own packages a lock may have any version.
    wanted |= dict.fromkeys(pin.system_packages, "")
    wanted |= {name: lock.wheels[name].version for name in pin.wheels}
    found = {name: package.version for name, package in installed.items()} | unpacked
    return {
        name: f"{found.get(name, 'missing')}, not {version}"
        for name, version in wanted.items()
        if not rules.fits(found.get(name), version)
    }


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    """Ask a condition again until it holds; the test fails when it has not `within` some seconds."""

    def wait(condition: Callable[[], bool], *, within: float, what: str) -> None:
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: not within {within:g} s")
            time.sleep(0.2)

    return wait


@pytest.fixture(scope="session")
def workdir(host: Host) -> Iterator[str]:
    """A folder on the host for what the tests make, removed at the end."""
    path = host.check_output("mktemp --directory /var/tmp/ingot-suite.XXXXXX")
    host.check_output("chmod 0755 %s", path)
    yield path
    host.check_output("rm -rf %s", path)


@pytest.fixture
def compiled(host: Host, workdir: str) -> Callable[..., str]:
    """Compile a file of `files/` on the host; the path of what comes out."""

    def compile_(name: str, *, compiler: str = "cc", flags: str = "") -> str:
        folder, (stem, language) = Path(__file__).parent / "files", name.split(".")
        program, source = f"{workdir}/{stem}", (folder / name).read_text()
        tried = host.run(f"printf %s %s | {compiler} -x {language} -o %s - {flags}", "%s", source, program)
        if tried.rc != 0:
            pytest.fail(f"{compiler} does not compile {name}: {tried.stderr.strip()}")
        return program

    return compile_


@pytest.fixture
def newer_than_the_image(host: Host) -> Callable[[str], bool]:
    """Whether every file of a shell pattern, at least one, is newer than the manifest, the image's last file."""

    def newer(pattern: str) -> bool:
        every = host.run(f"ls -1 {pattern}").stdout.splitlines()
        return bool(every) and set(every) == set(host.check_output(f"find {pattern} -newer {MANIFEST}").splitlines())

    return newer


@pytest.fixture
def older_than_the_image(host: Host) -> Callable[..., list[str]]:
    """The files of shell patterns that were there before the manifest, the image's last file."""

    def older(*patterns: str) -> list[str]:
        found = host.check_output(f"find {' '.join(patterns)} ! -newer {MANIFEST} 2>/dev/null; true")
        return [str(line) for line in found.splitlines()]

    return older


@pytest.fixture(scope="session")
def unit_files(host: Host) -> dict[str, str]:
    """Every unit file and whether it starts at boot (`enabled`, `disabled`, `static` ...), asked once."""
    lines = host.check_output("systemctl --root=/ list-unit-files --no-legend --no-pager").splitlines()
    return {words[0]: words[1] for words in map(str.split, lines) if len(words) > 1}
