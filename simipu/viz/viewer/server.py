"""A viewer of a store in the browser."""

from __future__ import annotations

import errno
import getpass
import socket
from typing import TYPE_CHECKING

from simipu.errors import UsageError
from simipu.viz.viewer.frame import check_frame

if TYPE_CHECKING:
    from simipu.store.reader import Store
    from simipu.viz.viewer.app import Viewer

LOCAL = ("localhost", "127.0.0.1", "::1")


def serve(store: Store, *, host: str = "localhost", port: int = 8080, frame: int = 0) -> None:
    """Show a store in the browser, until Ctrl-C.

    Frames can be scrubbed and played, points filtered and coloured, and a point's pixels or a
    pixel's point be found by a click. All that the page needs comes from this server.

    Args:
        store: the store; its correspondences must have been computed.
        host: name or address to listen on. Anyone who can reach it sees the data.
        port: TCP port to listen on; 0 for any that is free.
        frame: the frame shown first.

    Raises:
        StoreError: the store is damaged or has no correspondences.
        UsageError: viser is missing, there is no such frame, or the port cannot be had.
    """
    viewer = open_viewer(store, host=host, port=port, frame=frame)
    try:
        print(greeting(host, viewer.port), flush=True)
        viewer.run()
    except KeyboardInterrupt:
        print()
    finally:
        viewer.stop()


def open_viewer(store: Store, *, host: str, port: int, frame: int) -> Viewer:
    """Start the server with its first frame; errors as of `serve`."""
    try:
        import viser  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the viewer needs a package that is not installed ({error})",
            fix="Run `pip install 'simipu[viz]'`; pictures by `--out FILE` work without.",
        ) from error
    check_frame(store, frame)
    check_port(host, port)
    from simipu.viz.viewer.app import Viewer

    return Viewer(store, host=host, port=port, frame=frame)


def check_port(host: str, port: int) -> None:
    """Make sure that a port can be listened on: viser would silently take the next one.

    Raises:
        UsageError: it is in use, not ours to use, or the host is not this machine.
    """
    where = f"--host {host} --port {port}"
    try:
        for family, kind, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
    except socket.gaierror as error:
        raise UsageError(
            f"the host is not known ({error.strerror})",
            where=where,
            fix="Give a name or an address of this machine, such as localhost.",
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            fix = "Give a name or an address of this machine, such as localhost."
        else:
            fix = "Give another port by --port, above 1023; 0 takes any that is free."
        in_use = error.errno == errno.EADDRINUSE
        reason = "the port is in use" if in_use else f"cannot listen there ({error.strerror})"
        raise UsageError(reason, where=where, fix=fix) from error


def greeting(host: str, port: int) -> str:
    """What the user is told: where to look, from here and from afar, and how to end it."""
    machine = socket.gethostname()
    if host not in LOCAL:
        shown = machine if host in ("", "0.0.0.0", "::") else host
        return f"http://{shown}:{port}  (open to all who can reach this machine; Ctrl-C ends)"
    name = f"[{host}]" if ":" in host else host
    return (
        f"http://{name}:{port}  (Ctrl-C ends)\n"
        f"From another machine: ssh -L {port}:{name}:{port} {getpass.getuser()}@{machine}"
    )
