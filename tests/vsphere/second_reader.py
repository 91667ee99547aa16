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
        "macs": [d.macAddress for d in devices if isinstance(d, vim.vm.device.VirtualEthernetCard)],
    }))
Disconnect(si)
