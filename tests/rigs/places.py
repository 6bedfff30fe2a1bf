"""Where tests of roles begin: a lock's vendors, served once, and a container that presents itself as its system."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.commandline import Completed
from tests.rigs import systems
from tests.rigs.systems import container, docker, gateway
from tests.rigs.vendors import Vendors, serving

Serve = Callable[[Lock], Vendors]
Make = Callable[[Lock], tuple[Vendors, str]]


@contextmanager
def served(parts: Sequence[str], folder: Callable[[], Path]) -> Iterator[Serve]:
    """What serves the parts of a lock that it has, each lock once, in a folder of its own."""
    vendors: dict[str, Vendors] = {}
    with ExitStack() as stack:

        def serve(lock: Lock) -> Vendors:
            key = locks.dump(lock)
            if key not in vendors:
                components = [name for name in parts if name in lock.components]
                vendors[key] = stack.enter_context(serving(lock, components, folder() / "vendors", gateway()))
            vendors[key].faults.clear()
            return vendors[key]

        yield serve


@contextmanager
def places(serve: Serve, image: Callable[[str], str] = systems.image) -> Iterator[Make]:
    """What makes the vendors of a lock and a container of its system, of what `image` says the system's image is."""
    with ExitStack() as stack:
        yield lambda lock: (serve(lock), stack.enter_context(container(image(lock.os))))


def converge(host: str, vendors: Vendors, *roles: str, check: bool = False, **facts: Any) -> Completed:
    """Apply roles by the vendors' lock, or say with `check` what would change; what Ansible prints."""
    play = vendors.folder / "play.yml"
    play.write_text("- hosts: all\n  roles:\n" + "".join(f"    - ingot.ml.{role}\n" for role in roles))
    options = ["--check", "--diff"] if check else []
    return systems.run_playbook(host, play, vendors.lock_file, facts, *options)


def converged(host: str, vendors: Vendors, *roles: str, **facts: Any) -> Completed:
    """Apply roles, which succeeds."""
    done = converge(host, vendors, *roles, **facts)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done


def converged_twice(host: str, vendors: Vendors, *roles: str, **facts: Any) -> None:
    """Apply roles, which succeeds, and once more, which changes nothing."""
    converged(host, vendors, *roles, **facts)
    second = converge(host, vendors, *roles, **facts)
    assert "changed=0 " in second.stdout, second.stdout[-6000:]


def ask(host: str, script: str) -> str:
    """What a script prints in the container."""
    return docker("exec", host, "sh", "-euc", script).strip()
