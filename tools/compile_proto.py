"""Compile a .proto file into a descriptor set: compile_proto.py INPUT.proto OUTPUT.binpb.

Uses protoc where it is installed (apt: protobuf-compiler), else the one in grpcio-tools (pip). The
descriptor set, unlike generated Python code, does not tie the runtime to the compiler's version.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path


def compile_proto(source: Path, target: Path) -> None:
    """Write the descriptor set of source, with its comments dropped, to target."""
    if protoc := shutil.which('protoc'):
        command = [protoc]
    elif importlib.util.find_spec('grpc_tools'):
        command = [sys.executable, '-m', 'grpc_tools.protoc']
    else:
        raise SystemExit(
            'No protobuf compiler found: apt install protobuf-compiler, or pip install grpcio-tools'
        )
    arguments = [f'--proto_path={source.parent}', f'--descriptor_set_out={target}', source.name]
    subprocess.run([*command, *arguments], check=True)


if __name__ == '__main__':
    compile_proto(Path(sys.argv[1]), Path(sys.argv[2]))
