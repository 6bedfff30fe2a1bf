"""A mirror is served with ranges, is the only place that is asked while it is named, and is refused when it is none."""

import contextlib
import hashlib
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot import origins, paths, pypi
from ingot.errors import UsageError

MAIN = [sys.executable, "-c", "from ingot.cli import main; main()"]
SUITES = ["trixie", "trixie-security"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mirror with one file and one wheel, and with a part of a file that broke off."""
    mirror = tmp_path / "mirror"
    (mirror / "debian" / "dists").mkdir(parents=True)
    (mirror / "debian" / "a.deb").write_bytes(bytes(range(100)))
    (mirror / "debian" / ".b.deb.part").write_bytes(b"half")
    name, version = "ingot-nothing", "1.5"
    home = mirror / "simple" / name
    home.mkdir(parents=True)
    wheel = home / f"ingot_nothing-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = f"ingot_nothing-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (home / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    return mirror


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`ingot serve` on a free port: its address and its process."""
    words = [*MAIN, "serve", str(folder), "--port", "0"]
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
        (["serve", "nowhere"], 2, "this is no mirror"),
        (["serve", "nowhere", "--port", "70000"], 2, "--port"),
        (["serve", "{folder}", "--bind", "192.0.2.1"], 1, "cannot listen on 192.0.2.1:8080"),
        (["mirror", "README.md"], 2, "this can be no folder"),
        (["mirror", "{folder}", "--os", "debian14"], 2, "known: "),
        (["mirror", "{folder}", "--stack", "2020.01"], 2, "there is no lock"),
        (["mirror"], 2, "DIR"),
    ],
)
def test_bad_input_is_one_message(folder: Path, words: list[str], code: int, said: str) -> None:
    words = [word.format(folder=folder) for word in words]
    done = subprocess.run([*MAIN, *words], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_of_no_mirror_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_MIRROR", str(tmp_path))
    with pytest.raises(UsageError, match="no mirror") as caught:
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
