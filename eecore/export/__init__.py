"""Networks with exits as ONNX: a graph for each segment, a runner that stops at an exit. It needs the extra "export"."""

from eecore.export.write import export, load

__all__ = ["export", "load"]
