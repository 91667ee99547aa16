# Checks our SOAP requests against published type tables (own code; needs only PyPI pyvmomi).
# The simulators accept members in any order, real vCenter/ESXi do not, so every envelope our client
# sends is checked here against pyvmomi's type tables: names, ORDER, xsi:type, required members, MoRef
# "type" attributes, and members newer than the API version we claim to speak.
#   from vim_strict import checkbody; checkbody(envelope_xml, "vim.version.version11")  -> [] or findings
#   6.5 vim.version.version11, 6.7 version12, 7.0 v7_0, 7.0.3 v7_0_3_0, 8.0.3 v8_0_3_0, 9.0 v9_0_0_0
import xml.etree.ElementTree as ET
from pyVmomi import VmomiSupport as V
from pyVmomi.VmomiSupport import GetWsdlMethod, GetWsdlType, F_OPTIONAL, IsChildVersion
XSI='{http://www.w3.org/2001/XMLSchema-instance}type'; NS='{urn:vim25}'
def check(el,typ,ver,path,errs):
    if issubclass(typ,list): typ=typ.Item
    if issubclass(typ,V.ManagedObject) or typ is V.ManagedObject:
        if 'type' not in el.attrib: errs.append(f'{path}: MoRef without type attribute')
        return
    xt=el.attrib.get(XSI)
    if not issubclass(typ,V.DataObject):
        if typ is object and not xt: errs.append(f'{path}: anyType needs xsi:type')
        return
    if xt:
        try: t2=GetWsdlType('urn:vim25',xt.split(':')[-1])
        except KeyError: errs.append(f'{path}: unknown xsi:type {xt}'); return
        if not issubclass(t2,typ): errs.append(f'{path}: {xt} is not a {typ.__name__}')
        typ=t2
    props=[p for p in typ._GetPropertyList()]
    names=[p.name for p in props]; pos=-1; seen=set()
    for ch in el:
        n=ch.tag.replace(NS,'')
        if not ch.tag.startswith(NS): errs.append(f'{path}/{n}: not in urn:vim25')
        if n not in names: errs.append(f'{path}/{n}: no such property of {typ.__name__}'); continue
        i=names.index(n)
        if i<pos: errs.append(f'{path}/{n}: out of order (must come before {names[pos]})')
        pos=max(pos,i); p=props[i]; seen.add(n)
        if not IsChildVersion(ver,p.version): errs.append(f'{path}/{n}: added in {p.version}, not known to {ver}')
        check(ch,p.type,ver,f'{path}/{n}',errs)
    for p in props:
        if not (p.flags & F_OPTIONAL) and p.name not in seen and not issubclass(p.type,list) and IsChildVersion(ver,p.version): errs.append(f'{path}: required {p.name} missing')
def checkbody(xml,ver):
    r=ET.fromstring(xml); errs=[]
    body=[c for c in r if c.tag.endswith('}Body')][0][0]; m=body.tag.replace(NS,'')
    this=body[0]; 
    if this.tag!=NS+'_this': return [f'{m}: first child must be _this']
    if 'type' not in this.attrib: return [f'{m}: _this without type attribute']
    try: info=GetWsdlMethod("urn:vim25",m).info
    except KeyError: return [f'unknown method {m}']
    names=[p.name for p in info.params]; pos=-1; seen=set()
    for ch in list(body)[1:]:
        n=ch.tag.replace(NS,'')
        if n not in names: errs.append(f'{m}/{n}: no such parameter'); continue
        i=names.index(n)
        if i<pos: errs.append(f'{m}/{n}: out of order')
        pos=max(pos,i); seen.add(n); check(ch,info.params[i].type,ver,f'{m}/{n}',errs)
    for p in info.params:
        if not(p.flags&F_OPTIONAL) and p.name not in seen: errs.append(f'{m}: required parameter {p.name} missing')
    return errs
if __name__=='__main__':
    # vim_strict.py FOLDER: every soap-*.xml in it, at each version we claim to speak.
    import glob, re, sys
    bad = 0; bodies = sorted(glob.glob(sys.argv[1] + '/soap-*.xml')); shapes = {}
    # Values are not looked at, so bodies that differ in values alone are one and the same here.
    for path in bodies: shapes.setdefault(re.sub('>[^<]+<', '><', open(path, encoding='utf-8').read()), path)
    for path in shapes.values():
        for ver in ('version11', 'version12', 'v7_0', 'v8_0_3_0'):
            for finding in checkbody(open(path, encoding='utf-8').read(), 'vim.version.' + ver):
                bad += 1; print(path, ver, finding)
    print(len(bodies), 'bodies of', len(shapes), 'shapes checked'); sys.exit(1 if bad or not bodies else 0)
