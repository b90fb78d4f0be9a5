"""Model work: sources to OpenVINO IR, precision, parity, benchmark, report.

Telemetry is off before any module of ours can import openvino or nncf.
"""

from converters import telemetry

telemetry.off()
