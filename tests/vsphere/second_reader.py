# What another client sees: one JSON object a machine. second_reader.py HOST PORT (plain HTTP, loopback)
import json, sys
from pyVim.connect import SmartConnect, Disconnect
from pyVmomi import vim

host, port = sys.argv[1], int(sys.argv[2])
si = SmartConnect(protocol="http", host=host, port=port, user="root", pwd="secret")
view = si.content.viewManager.CreateContainerView(si.content.rootFolder, [vim.VirtualMachine], True)
for vm in view.view:
    devices = vm.config.hardware.device
    print(json.dumps({
        "name": vm.name,
        "firmware": vm.config.firmware,
        "annotation": vm.config.annotation or "",
        "power": vm.runtime.powerState,
        "disks": [d.backing.fileName for d in devices if isinstance(d, vim.vm.device.VirtualDisk)],
        # The simulator's own machines are on distributed switches, which have no name here.
        "networks": [getattr(d.backing, "deviceName", None) for d in devices
                     if isinstance(d, vim.vm.device.VirtualEthernetCard)],
        "controllers": sorted({type(c).__name__.split(".")[-1] for c in devices for d in devices
                               if isinstance(d, vim.vm.device.VirtualDisk) and d.controllerKey == c.key}),
        "cards": [type(d).__name__.split(".")[-1] for d in devices
                  if isinstance(d, vim.vm.device.VirtualEthernetCard)],
        "connected": [d.connectable.startConnected for d in devices
                      if isinstance(d, vim.vm.device.VirtualEthernetCard) and d.connectable],
        "version": vm.config.version,
        "cpus": vm.config.hardware.numCPU,
        "memory_mib": vm.config.hardware.memoryMB,
        "guest_id": vm.config.guestId,
        "macs": [d.macAddress for d in devices if isinstance(d, vim.vm.device.VirtualEthernetCard)],
    }))
Disconnect(si)
