"""Telemetry off: openvino and nncf report each import and conversion by themselves; ours never do.

Both fall back to a stub that sends nothing where the package `openvino_telemetry` cannot be imported
(openvino/tools/ovc/telemetry_stub.py, nncf/telemetry/wrapper.py). None in `sys.modules` is Python's documented way to
make an import fail, so no home folder, consent file or environment variable has a say in it.
"""

import sys

PACKAGE = "openvino_telemetry"


def off() -> None:
    """Make `import openvino_telemetry` fail from now on; called before openvino or nncf is imported.

    Where somebody imported it already, what it still tries to send is dropped at the one place all of it passes.
    """
    if PACKAGE not in sys.modules:
        sys.modules[PACKAGE] = None  # type: ignore[assignment]  # see the docstring: None makes the import fail
        return
    sender = sys.modules.get(f"{PACKAGE}.utils.sender")
    if sender is not None:
        sender.__dict__["TelemetrySender"].send = _drop


def _drop(*_message: object) -> None:
    """Take a message and send nothing."""
