"""A mirror is served with ranges, is the only place that is asked while it is named, and is refused when it is none."""

import contextlib
import hashlib
import re
import signal
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.errors import UsageError
from ingot.lock import file as locks
from ingot.mirror import mirror as mirrors
from ingot.model.lock import Package
from ingot.model.target import Target
from ingot.model.types import Arch
from ingot.sources import origins, pypi
from ingot.sources.apt import DEB_ARCH
from tests.commandline import command, ingot

SUITES = ["trixie", "trixie-security"]


def put_wheel(mirror: Path, version: str, tag: str) -> None:
    """Put a wheel of a package into a mirror, and list it in the index."""
    name = "ingot-nothing"
    home = mirror / "simple" / name
    home.mkdir(parents=True, exist_ok=True)
    wheel = home / f"ingot_nothing-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = f"ingot_nothing-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with (home / "index.html").open("a") as page:
        page.write(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>\n')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mirror with one file and one wheel, and with a part of a file that broke off."""
    mirror = tmp_path / "mirror"
    (mirror / "debian" / "dists").mkdir(parents=True)
    (mirror / "debian" / "a.deb").write_bytes(bytes(range(100)))
    (mirror / "debian" / ".b.deb.part").write_bytes(b"half")
    put_wheel(mirror, "1.5", "py3-none-any")
    return mirror


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`ingot serve` on a free port: its address and its process."""
    words = command("serve", folder, "--port", "0")
    process = subprocess.Popen(words, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def get(url: str, wanted: str = "") -> tuple[int, bytes, str]:
    """Status, body and Content-Range of an answer."""
    request = urllib.request.Request(url, headers={"Range": wanted} if wanted else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers.get("Content-Range", "")
    except urllib.error.HTTPError as error:
        return error.code, b"", error.headers.get("Content-Range", "")


def test_files_and_parts_of_them_are_served(folder: Path) -> None:
    content = (folder / "debian" / "a.deb").read_bytes()
    with serving(folder) as (url, _):
        assert get(f"{url}debian/a.deb") == (200, content, "")
        assert get(f"{url}debian/a.deb", "bytes=90-") == (206, content[90:], "bytes 90-99/100")
        assert get(f"{url}debian/a.deb", "bytes=0-9") == (206, content[:10], "bytes 0-9/100")
        assert get(f"{url}debian/a.deb", "bytes=100-") == (416, b"", "bytes */100")
        assert get(f"{url}debian/a.deb", "bytes=nonsense") == (200, content, "")


@pytest.mark.parametrize("path", ["debian/.b.deb.part", "debian/c.deb", "../outside", "%2e%2e/outside"])
def test_what_is_not_whole_not_there_or_not_in_the_mirror_is_not_found(folder: Path, path: str) -> None:
    (folder.parent / "outside").write_text("secret")
    with serving(folder) as (url, _):
        assert get(f"{url}{path}")[0] == 404


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_stopped_ends_well(folder: Path, how: signal.Signals) -> None:
    with serving(folder) as (url, process):
        assert get(f"{url}debian/a.deb")[0] == 200
        process.send_signal(how)
        said = process.communicate(timeout=10)
        assert (process.returncode, said) == (0, ("", ""))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["serve", "nowhere"], 2, "not a mirror"),
        (["serve", "nowhere", "--port", "70000"], 2, "--port"),
        (["serve", "{folder}", "--bind", "192.0.2.1"], 1, "cannot listen on 192.0.2.1:8080"),
        (["mirror", "README.md"], 2, "cannot create the folder"),
        (["mirror", "{folder}", "--os", "debian14"], 2, "known: "),
        (["mirror", "{folder}", "--stack", "2020.01"], 2, "unknown stack"),
        (["mirror"], 2, "DIR"),
    ],
)
def test_bad_input_is_one_message(folder: Path, words: list[str], code: int, said: str) -> None:
    done = ingot(*(word.format(folder=folder) for word in words))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_of_no_mirror_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_MIRROR", str(tmp_path))
    with pytest.raises(UsageError, match="not a mirror") as caught:
        origins.archives()
    assert "ingot mirror" in caught.value.hint


@pytest.mark.parametrize("url", ["http://mirror.example:8080/ingot", "https://mirror.example/ingot/", ""])
def test_all_addresses_are_the_mirrors(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("INGOT_MIRROR", url or str(folder))
    monkeypatch.setenv("PIP_FIND_LINKS", "/elsewhere")
    root = f"{url.rstrip('/')}/" if url else f"{folder.as_uri()}/"
    main, security = origins.archives().sources(SUITES, ["main", "contrib"], ["signed-by=/key"])
    assert re.fullmatch(rf"deb \[signed-by=/key .*\] {root}debian/ trixie main contrib", main)
    assert f" {root}debian-security/ trixie-security " in security
    environment = origins.pip_environment()
    assert environment is not None
    assert environment["PIP_INDEX_URL"] == f"{root}simple/"
    assert "PIP_FIND_LINKS" not in environment
    variables = origins.packer_variables(SUITES, ["main"], tmp_path)
    sources = Path(variables["apt_sources"]).read_text()
    assert (f"{root}debian/ trixie main" in sources) == bool(url)
    assert variables["network"] == ("bridge" if url else "none")
    assert variables.get("mirror", "") == ("" if url else str(folder))


def test_a_server_on_this_machine_alone_is_within_the_containers_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_MIRROR", "http://127.0.0.1:8080")
    assert origins.packer_variables(SUITES, ["main"], tmp_path)["network"] == "host"


def test_without_a_mirror_nothing_is_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INGOT_MIRROR", raising=False)
    assert origins.pip_environment() is None
    assert origins.packer_variables(SUITES, ["main"], tmp_path) == {}


@pytest.mark.parametrize("served", [False, True])
def test_wheels_come_from_the_mirror_and_from_nowhere_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, served: bool
) -> None:
    name = "ingot-nothing"
    wheel = next((folder / "simple" / name).glob("*.whl"))
    with serving(folder) if served else contextlib.nullcontext((f"{folder.as_uri()}/", None)) as (url, _):
        monkeypatch.setenv("INGOT_MIRROR", url if served else str(folder))
        pypi.versions.cache_clear()
        assert pypi.versions(name, "x86_64") == ["1.5"]
        assert pypi.versions("packaging", "x86_64") == []
        found = pypi.wheel(name, "1.5", "x86_64")
        assert (found.filename, found.sha256) == (wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest())
        assert pypi.address(name, "1.5", "x86_64") == f"{url}simple/{name}/{wheel.name}"
    pypi.versions.cache_clear()


@pytest.mark.parametrize("arch", get_args(Arch))
def test_a_wheel_is_of_the_architecture_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arch: Arch
) -> None:
    monkeypatch.setenv("INGOT_MIRROR", str(folder))
    for each in get_args(Arch):
        put_wheel(folder, "1.6", f"py3-none-manylinux_2_27_{each}")
        put_wheel(folder, "1.7" if each == arch else "1.8", f"py3-none-manylinux2014_{each}")
    pypi.versions.cache_clear()
    assert pypi.versions("ingot-nothing", arch) == ["1.7", "1.6", "1.5"]
    for version, tag in (("1.6", "manylinux_2_27"), ("1.7", "manylinux2014")):
        found = pypi.wheel("ingot-nothing", version, arch)
        assert found.filename == f"ingot_nothing-{version}-py3-none-{tag}_{arch}.whl"
    pypi.versions.cache_clear()


class FakeArchive:
    """Debian's archive of one architecture, with one package, whose every suite names the indexes of both."""

    def __init__(self, arch: Arch, folder: Path) -> None:
        self.arch = arch
        self.folder = folder

    def gone(self, _: object) -> list[str]:
        return []

    def address(self, suite: str) -> str:
        return f"http://archive/{mirrors._site(suite)}/"

    def url(self, package: Package) -> str:
        return f"http://archive/{package.path}"

    def release(self, suite: str) -> Path:
        path = self.folder / suite
        names = [f"main/binary-{deb_arch}/Packages.xz" for deb_arch in DEB_ARCH.values()]
        path.write_text("".join(f" {DIGESTS[name]} 1 {name}\n" for name in names))
        return path

    def closure(self, _: object) -> dict[str, Package]:
        path = f"pool/main/t/tool/tool_1_{DEB_ARCH[self.arch]}.deb"
        return {"tool": Package(version="1", suite="trixie", path=path, size=1, installed=1, sha256="0" * 64)}


DIGESTS = {f"main/binary-{name}/Packages.xz": digest * 64 for name, digest in (("amd64", "a"), ("arm64", "b"))}


@pytest.mark.parametrize("had", ["", "arm64", "amd64"])
def test_what_makes_disks_is_of_this_machine_whatever_the_lock_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had: str
) -> None:
    """A mirror that has it already, for another lock, keeps it."""
    monkeypatch.setattr(mirrors, "_read", lambda _, __, arch: FakeArchive(arch, tmp_path))
    catalog = read_catalog()
    home = tmp_path / "mirror" / "debian" / "dists" / "trixie"
    if had:
        index = home / "main" / f"binary-{had}" / "by-hash" / "SHA256" / DIGESTS[f"main/binary-{had}/Packages.xz"]
        index.parent.mkdir(parents=True)
        index.touch()
        FakeArchive("x86_64", home).release("InRelease")
    lock = locks.load(locks.path_of(Target(catalog.newest_stack, "debian13", "aarch64")))
    suites, files = mirrors.plan(tmp_path / "mirror", catalog, lock)
    indexes = {file.path.parts[-4] for file in files if "by-hash" in file.path.parts}
    assert indexes == {"binary-arm64", "binary-amd64"}
    tools = {file.path.name for file in files if file.path.name.startswith("tool_")}
    assert tools == (set() if had == "amd64" else {"tool_1_amd64.deb"})
    assert {suite.arch for suite in suites} == ({"aarch64"} if had == "amd64" else {"aarch64", "x86_64"})
