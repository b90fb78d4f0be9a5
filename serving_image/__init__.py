"""The model server that runs at the site: Open Inference Protocol over REST, on uvicorn and OpenVINO.

It stands alone: it imports nothing else of this repository and reads the release record as plain JSON.
REST only translates; what the protocol means is in `dataplane.DataPlane`, which a gRPC front end can share.
"""

__version__ = "0.1.0"
