"""The model server that runs at the site: Open Inference Protocol over REST and gRPC, on OpenVINO.

It stands alone: it imports nothing else of this repository and reads the release record as plain JSON.
REST (on uvicorn) and gRPC (`grpc`) only translate; what the protocol means is in `dataplane.DataPlane`.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: its import fails, none is sent
"""Where OpenVINO's own reports are installed, as on a developer's machine, importing openvino would send one."""

__version__ = "0.1.0"
