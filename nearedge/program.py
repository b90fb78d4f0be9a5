"""What every program shares: exit statuses, one-line errors, results as files.

A program is a module with `parser()`, `run()` and `main(argv)`; `main` is thin and calls `guarded`.
"""

import argparse
import errno
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from nearedge import errors
from nearedge.files import write_text

EXIT_STATUSES = (
    "exit status: 0 done; 1 a fault in the input; 2 wrong usage; 3 a gate did not hold; 4 network, registry or git; "
    "5 not supported; 6 this machine (disk full, read-only, no memory); 130 interrupted"
)
MACHINE_FAULTS = {
    errno.ENOSPC: "no space left on the device; free some or use another workspace",
    errno.EDQUOT: "the disk quota is used up; free some or use another workspace",
    errno.EROFS: "the file system is read-only; give a workspace that can be written",
    errno.EACCES: "permission denied; give a workspace that this user may write",
    errno.EPERM: "not permitted; give a workspace that this user may write",
    errno.ENOMEM: "no memory left; give the step a higher memory limit",
    errno.EMFILE: "too many open files; raise the limit of open files",
}


def new_parser(name: str, description: str) -> argparse.ArgumentParser:
    """An option parser in our style: no abbreviations, exit statuses in the help."""
    return argparse.ArgumentParser(
        prog=f"nearedge {name}", description=description, epilog=EXIT_STATUSES, allow_abbrev=False
    )


def optional_path(text: str) -> Path | None:
    """A path, or None for the empty text that an unbound optional workspace gives."""
    return Path(text) if text else None


def optional_bytes(text: str) -> int | None:
    """A number of bytes, or None for the empty text."""
    if text and not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of bytes")
    return int(text) if text else None


def boolean(text: str) -> bool:
    """`true` or `false`, as Tekton's string params carry them."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'true' nor 'false'")
    return text == "true"


def add_results(parser: argparse.ArgumentParser, **results: str) -> None:
    """Declare `--result-NAME PATH` for each result: the file its value is written to (Tekton's result path)."""
    group = parser.add_argument_group("results", "each names a file that the value is written to")
    for name, help_text in results.items():
        flag = name.replace("_", "-")
        group.add_argument(
            f"--result-{flag}", dest=f"result_{name}", type=optional_path, metavar="PATH", help=help_text
        )


def write_results(options: argparse.Namespace, **values: str) -> None:
    """Write each value to the file its `--result-NAME` flag names, where the flag was given."""
    for name, value in values.items():
        path = getattr(options, f"result_{name}")
        if path is not None:
            write_text(path, value)


def guarded(name: str, action: Callable[[], int | None]) -> int:
    """Run `action`; turn what it raises into one line on stderr and the documented exit status."""
    logging.captureWarnings(True)
    os.umask(0o022)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped step cleans up as an interrupted one does
    try:
        return action() or 0
    except errors.NearedgeError as error:
        return complain(name, str(error), error.status)
    except KeyboardInterrupt:
        return complain(name, "interrupted", errors.INTERRUPTED)
    except MemoryError:
        return complain(name, MACHINE_FAULTS[errno.ENOMEM], errors.MachineError.status)
    except OSError as error:
        return os_fault(name, error)
    except Exception as error:  # whatever else arrives here is ours to mend, and the person must not drown in it
        return bug(name, error)


def os_fault(name: str, error: OSError) -> int:
    """One line for an operating system's refusal: the machine's fault, or a missing file in the input."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in MACHINE_FAULTS:
        return complain(name, where + MACHINE_FAULTS[error.errno], errors.MachineError.status)
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return complain(name, f"{where}{(error.strerror or 'not found').lower()}", errors.InputError.status)
    return bug(name, error)


def bug(name: str, error: Exception) -> int:
    """One line for a fault of ours; the traceback follows only where NEAREDGE_DEBUG is set."""
    if os.environ.get("NEAREDGE_DEBUG"):
        traceback.print_exception(error)
    kind = type(error).__name__
    text = " ".join(str(error).split())[:300]
    return complain(name, f"a bug of nearedge: {kind}: {text} (set NEAREDGE_DEBUG=1 for the traceback)", errors.BUG)


def complain(name: str, message: str, status: int) -> int:
    """Print one line, give the status back."""
    print(f"nearedge {name}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status
