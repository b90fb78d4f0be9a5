"""`python -m serving_image`: read the settings, serve until a signal ends it."""

import logging
import os
import sys
from collections.abc import Sequence

from serving_image import heap, logs
from serving_image.dataplane import DataPlane
from serving_image.faults import ListenError, StartError
from serving_image.repository import Repository
from serving_image.server import serve
from serving_image.settings import parse
from serving_image.telemetry import Telemetry


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; 0 when a signal ended it, 1 where it could not listen, 2 for wrong usage."""
    settings = parse(sys.argv[1:] if argv is None else argv)
    logs.configure(settings.log_level)
    heap.give_back()
    dataplane = DataPlane(Repository(settings.models, settings.versions), settings, Telemetry(settings.digest))
    try:
        ended = serve(dataplane)
    except StartError as error:
        logs.event(logging.ERROR, str(error))
        return 1 if isinstance(error, ListenError) else 2
    if not ended:  # a thread is still inside OpenVINO: Python would wait for it, or crash on the way out
        logging.shutdown()
        sys.stderr.flush()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
