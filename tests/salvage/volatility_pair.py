"""Stacks a memory image as volatility3 does by itself and prints the segments it finds."""

import sys
from pathlib import Path

from volatility3.framework import contexts, interfaces
from volatility3.framework.layers import physical, vmware

context = contexts.Context()
path = interfaces.configuration.path_join("pair", "base")
context.config[interfaces.configuration.path_join(path, "location")] = Path(sys.argv[1]).resolve().as_uri()
context.layers.add_layer(physical.FileLayer(context, path, "base"))
layer = vmware.VmwareStacker.stack(context, "base")
if layer is None:
    sys.exit("volatility3 finds no state file that fits")
for start, mapped, length, _ in layer._segments:
    print(start, mapped, length)
