"""The gRPC front end: HTTP/2 and protobuf, as much of them as the Open Inference Protocol needs, on asyncio.

Written for this server because the libraries there are took twice the CPU time a request, or 7 MB of the image:
docs/adr/0013-grpc.md says what was measured. `connection` speaks HTTP/2, `service` says what a call means, the data
plane computes.
"""
