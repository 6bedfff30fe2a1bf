"""The commands for mirrors: mirror, serve."""

from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import ArchOption, JsonOption, OsOption, StackOption, at, images, print_json

app = typer.Typer()


@app.command(
    epilog="Example: ingot mirror /srv/ingot --os debian13   ·   INGOT_MIRROR=/srv/ingot ingot local parallelcluster"
)
def mirror(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the mirror; existing files are kept.")],
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    image: Annotated[
        str, typer.Option("--image", help="Only for builds of this image.", autocompletion=images, show_default=False)
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Download all files that builds of a lock need.

    With `INGOT_MIRROR=DIR`, builds then need no network.
    """
    from dataclasses import asdict

    from ingot.console import Progress, out
    from ingot.lock import file as locks
    from ingot.mirror.mirror import mirror as make

    catalog, target = at(os_name, arch, stack)
    lock = locks.load(locks.path_of(target))
    locks.check(lock, catalog)
    result = make(folder, catalog, lock.of(catalog.image(image).parts) if image else lock, Progress())
    if as_json:
        print_json(asdict(result))
        return
    size, downloaded = result.bytes / 1e9, result.downloaded_bytes / 1e9
    out.print(
        f"{result.path}: {result.files} files for {target.key}, {size:.2f} GB, {downloaded:.2f} GB downloaded now."
    )
    for name, reason in result.not_in_it.items():
        out.print(f"  not mirrored: {name}: {reason}", markup=False)


@app.command(epilog="Example: ingot serve /srv/ingot --bind 0.0.0.0 --port 8080")
def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder written by `ingot mirror`.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for any free one.")] = 8080,
    bind: Annotated[
        str, typer.Option("--bind", help="Address to listen on; 0.0.0.0 for other machines.")
    ] = "127.0.0.1",
) -> None:
    """Serve a mirror over HTTP until Ctrl-C.

    Build from it with `INGOT_MIRROR=URL`.
    """
    import signal
    import threading

    from ingot.mirror.serve import server

    signals = {signal.SIGINT, signal.SIGTERM}
    with server(folder, bind, port) as httpd:
        # Blocked before any thread starts, since threads inherit the mask: only sigwait below receives the signals.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        print(f"http://{bind}:{httpd.server_port}/", flush=True)
        signal.sigwait(signals)
        httpd.shutdown()
        thread.join()
