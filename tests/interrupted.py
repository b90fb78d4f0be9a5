"""Kills a process at each of its requests in turn, with SIGKILL and half of the request's body sent.

    python tests/interrupted.py push|mirror|import HOST FOLDER

Runs the action in forked children: the first dies in its first request, the second in its second, and so on until one
lives. The n-th child works on the repository `killed/ACTION-n`. Prints how many were killed.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nearedge.delivery import registry
from nearedge.delivery.access import Access
from nearedge.delivery.bandwidth import Bandwidth
from nearedge.delivery.bundle import bundle_file
from nearedge.delivery.bundle.bundle_import import Importing
from nearedge.delivery.mirror import Mirror
from nearedge.delivery.patience import Patience
from nearedge.delivery.repository import Repository
from nearedge.delivery.spool import Spool
from tests.small_release import Release

SOURCE, BUNDLE = "killed/source", "bundle.tar"


def push(target: Repository, _folder: Path) -> None:
    """A release of its own to the target."""
    Release(1).push(target)


def mirror(target: Repository, folder: Path) -> None:
    """From SOURCE, at a host by another name, so that blobs go through the spool."""
    source = Repository(registry.Registry(target.registry.host.replace("127.0.0.1", "localhost"), Access()), SOURCE)
    spool = Spool(folder / target.name.replace("/", "-"), Bandwidth(), Patience(0))
    with spool.held():
        Mirror(source, target, spool).image("1", "1")


def import_(target: Repository, folder: Path) -> None:
    """From the bundle in the folder."""
    with bundle_file.opened(folder / BUNDLE) as bundle:
        bundle.verify()
        importing = Importing(bundle, lambda _name: target)
        importing.check()
        importing.run()


ACTIONS: dict[str, Callable[[Repository, Path], None]] = {"push": push, "mirror": mirror, "import": import_}


def dying(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Half of the first piece, then the end."""
    piece = next(pieces)
    yield piece[: len(piece) // 2]
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(number: int) -> None:
    """Let this process die in its request of that number: while it sends the body, or when the answer has come."""
    left = [number]
    send = registry.Registry.request

    def request(self: registry.Registry, *arguments: object, **named: object) -> object:
        left[0] -= 1
        has_body = any(callable(one) for one in (*arguments, *named.values()))
        if left[0] == 0 and has_body:
            self.pace = dying
        answer = send(self, *arguments, **named)
        if left[0] == 0:
            next(answer.iter_content(2000), None)
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    registry.Registry.request = request


def main() -> None:
    """Kill and count."""
    action, host, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    number = 1
    while True:
        child = os.fork()
        if not child:
            die_at(number)
            ACTIONS[action](Repository(registry.Registry(host, Access()), f"killed/{action}-{number}"), folder)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            sys.exit(f"{action}: ended with {status}") if status else print(number - 1)
            return
        number += 1


if __name__ == "__main__":
    main()
