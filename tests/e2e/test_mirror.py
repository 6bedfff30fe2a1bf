"""What `ingot mirror` has made replays a build where no network is, and nothing in it passes for what it is not."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.model.lock import Lock
from ingot.model.target import Target
from ingot.sources.apt import Archive
from tests.commandline import ingot_process
from tests.e2e.image import IMAGE

pytestmark = pytest.mark.network

CATALOG = read_catalog()
LOCK = locks.path_of(Target(CATALOG.newest_stack, "debian13", "x86_64")).relative_to(paths.ROOT)
# A network of its own, in which there is nothing but the process itself.
CUT = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "cut"]


def made(*words: str, checkout: Path) -> dict[str, Any]:
    """What `ingot mirror` says that it has made."""
    done = ingot_process("mirror", *words, "--json", checkout=checkout)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


@pytest.fixture
def cut() -> None:
    """The machine lets this user make a network of its own."""
    done = subprocess.run([*CUT, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespace can be made: {done.stderr.strip()}")


@pytest.fixture
def small(checkout: Path) -> Lock:
    """The checkout's lock, of which a few packages are left."""
    path = checkout / LOCK
    lock = locks.load(path)
    archive = Archive("debian13", CATALOG.operating_system("debian13"), "x86_64")
    archive.update()
    packages = archive.closure({"chrony": None})
    path.write_text(locks.dump(lock.model_copy(update={"packages": packages})))
    return locks.load(path)


@pytest.fixture
def images(system: str) -> Iterator[None]:
    """Give the names of the images that a build makes back to those that had them before the test."""
    listing = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]
    for name in (f"ingot/base:{system}-*", f"ingot/{IMAGE}:{system}-*", "ingot/disk-tools"):
        listing += ["--filter", f"reference={name}"]
    before = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    named = dict(line.split() for line in before if "<none>" not in line)
    yield
    after = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    for tag, image in (line.split() for line in after if "<none>" not in line):
        if named.get(tag) != image:
            words = ["tag", named[tag], tag] if tag in named else ["image", "rm", tag]
            subprocess.run(["docker", *words], capture_output=True, check=False)
    subprocess.run(["docker", "image", "prune", "--force", "--filter", "label=ingot=1"], check=False)


def test_a_lock_is_renewed_from_a_mirror_alone(checkout: Path, small: Lock, tmp_path: Path, cut: None) -> None:
    folder = tmp_path / "mirror"
    first = made(str(folder), checkout=checkout)
    assert first["downloaded_bytes"] == first["bytes"]
    assert not list(folder.rglob("*.part"))

    # What is there is kept; a file that broke off is continued.
    package = folder / "debian" / small.packages["chrony"].path
    whole = package.read_bytes()
    package.unlink()
    package.with_name(f".{package.name}.part").write_bytes(whole[:1000])
    again = made(str(folder), checkout=checkout)
    assert again["downloaded_bytes"] == len(whole) - 1000
    assert package.read_bytes() == whole

    path = checkout / LOCK
    env = {"INGOT_MIRROR": str(folder), "INGOT_CACHE": str(tmp_path / "cache")}
    system = ["--os", "debian13", "--arch", "x86_64"]
    done = ingot_process("lock", *system, "--keep", checkout=checkout, env=env, prefix=CUT)
    assert done.returncode == 0, done.stderr
    renewed = locks.load(path).packages
    assert small.packages == {name: renewed[name].model_copy(update={"by": []}) for name in small.packages}

    release = folder / "debian" / "dists" / "trixie" / "InRelease"
    release.write_text(release.read_text().replace("Codename: trixie", "Codename: other "))
    done = ingot_process("lock", *system, checkout=checkout, env=env, prefix=CUT)
    assert done.returncode == 1
    assert "reading the archive failed" in done.stderr


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.qemu
@pytest.mark.parametrize("system", ["debian13", "debian12"])
def test_an_image_is_built_from_a_mirror_alone(
    checkout: Path, tmp_path: Path, cut: None, images: None, system: str
) -> None:
    folder, cache = tmp_path / "mirror", tmp_path / "cache"
    made(str(folder), "--os", system, "--image", IMAGE, checkout=checkout)
    # Nothing of what other builds have fetched or made: no packages, and no base of the same recipe.
    cache.mkdir()
    (cache / "packer").symlink_to(paths.cache_dir("packer"))
    with (checkout / "ingot" / "image" / "base.py").open("a") as file:
        file.write(f"# {tmp_path}\n")
    env = {"INGOT_MIRROR": str(folder), "INGOT_CACHE": str(cache)}
    done = ingot_process("local", IMAGE, "--os", system, "--json", checkout=checkout, env=env, prefix=CUT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["suite"]["machine"]["passed"] > 0
    assert report["refreshed"] == []
    sources = ["docker", "run", "--rm", f"ingot/{IMAGE}:{system}-x86_64", "cat", "/etc/apt/sources.list"]
    assert "mirror" not in subprocess.run(sources, capture_output=True, text=True, check=True).stdout
    shutil.rmtree(folder)
