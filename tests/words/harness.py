"""What the tests of words add to those of tests/device: terminals."""

import importlib.util
import os

HERE = os.path.dirname(os.path.abspath(__file__))
_spec = importlib.util.spec_from_file_location(
    "device_harness", HERE + "/../device/harness.py")
_device = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_device)
globals().update({name: value for name, value in vars(_device).items()
                  if not name.startswith("__")})

from terminal import Terminal                           # noqa: E402,F401
