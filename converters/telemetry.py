"""Telemetry off: openvino, nncf and ONNX Runtime report by themselves what is done with them; ours never do.

ONNX Runtime has a variable for it, read when it is loaded. The two others fall back to a stub that sends nothing where
the package `openvino_telemetry` cannot be imported (openvino/tools/ovc/telemetry_stub.py, nncf/telemetry/wrapper.py).
None in `sys.modules` is Python's documented way to make an import fail, so no home folder, consent file or environment
variable has a say in it.
"""

import os
import sys

PACKAGE = "openvino_telemetry"
OF_ONNX_RUNTIME = "ORT_DISABLE_TELEMETRY"


def off() -> None:
    """Make `import openvino_telemetry` fail from now on; called before openvino, nncf or onnxruntime is imported.

    Where somebody imported it already, what it still tries to send is dropped at the one place all of it passes.
    """
    os.environ[OF_ONNX_RUNTIME] = "1"
    if PACKAGE not in sys.modules:
        sys.modules[PACKAGE] = None  # type: ignore[assignment]  # see the docstring: None makes the import fail
        return
    sender = sys.modules.get(f"{PACKAGE}.utils.sender")
    if sender is not None:
        sender.__dict__["TelemetrySender"].send = _drop


def _drop(*_message: object) -> None:
    """Take a message and send nothing."""
