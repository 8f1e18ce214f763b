"""Networks with exits as ONNX: a graph for each segment, and a runner that stops at an exit (extra "export")."""

from eecore.export.write import export, load

__all__ = ["export", "load"]
