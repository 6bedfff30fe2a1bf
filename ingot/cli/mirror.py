"""The commands that keep and serve what builds need of the network; `ingot.cli.main` has the others."""

from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import ArchOption, JsonOption, OsOption, StackOption, at, images, print_json

app = typer.Typer()


@app.command(
    epilog="Example: ingot mirror /srv/ingot --os debian13   ·   INGOT_MIRROR=/srv/ingot ingot local parallelcluster"
)
def mirror(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; what is there already is kept.")],
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    image: Annotated[
        str, typer.Option("--image", help="Only for builds of it.", autocompletion=images, show_default=False)
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Download all that builds of a lock need.

    `INGOT_MIRROR=DIR` then replays them without a network.
    """
    from dataclasses import asdict

    from ingot.console import Progress, out
    from ingot.lock import file as locks
    from ingot.mirror.mirror import mirror as make

    catalog, target = at(os_name, arch, stack)
    lock = locks.load(locks.path_of(target))
    locks.check(lock, catalog)
    made = make(folder, catalog, lock.of(catalog.image(image).parts) if image else lock, Progress())
    if as_json:
        print_json(asdict(made))
        return
    size, came = made.bytes / 1e9, made.downloaded_bytes / 1e9
    out.print(f"{made.path}: {made.files} files of {target.key}, {size:.2f} GB, {came:.2f} GB of it downloaded now.")
    for name, what in made.not_in_it.items():
        out.print(f"  not in it: {name}: {what}", markup=False)


@app.command(epilog="Example: ingot serve /srv/ingot --bind 0.0.0.0 --port 8080")
def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `ingot mirror` has made.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 8080,
    bind: Annotated[str, typer.Option("--bind", help="The address to listen on; others reach 0.0.0.0.")] = "127.0.0.1",
) -> None:
    """Serve a mirror over HTTP until Ctrl-C.

    `INGOT_MIRROR=URL` builds from it.
    """
    import signal
    import threading

    from ingot.mirror.serve import server

    ends = {signal.SIGINT, signal.SIGTERM}
    with server(folder, bind, port) as listening:
        # Blocked before the threads begin, which inherit it: whoever sends one finds the wait below.
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        answering = threading.Thread(target=listening.serve_forever)
        answering.start()
        print(f"http://{bind}:{listening.server_port}/", flush=True)
        signal.sigwait(ends)
        listening.shutdown()
        answering.join()
