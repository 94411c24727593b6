"""NiiVue, the WebGL viewer that draws volumes, as a module that a page can import.

It comes with the package `ipyniivue` (extra `viewer`), inside a bundle that exports no more than a notebook widget.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ctcore.errors import RequestError

PACKAGE = "ipyniivue"
INSTALL = "install it with: pip install 'ct-lesion-pipeline[viewer]'"

_MADE = re.compile(rb'"Creating new Niivue instance"\).{0,200}?=new ([\w$]+)\(')
"""Where the widget makes its viewer; the name of the class is a minifier's."""


def niivue_module() -> bytes:
    """Returns a JavaScript module that exports the class `Niivue`.

    Raises:
        RequestError: ipyniivue is not installed, or in a version that is built otherwise.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RequestError(f"the viewer needs {PACKAGE}; {INSTALL}")
    path = Path(spec.submodule_search_locations[0]) / "static" / "widget.js"
    code = path.read_bytes() if path.is_file() else b""
    names = set(_MADE.findall(code))
    if len(names) != 1:
        raise RequestError(f"NiiVue is not found in '{path}': this version of {PACKAGE} is built otherwise; {INSTALL}")
    return code + b"\nexport{%b as Niivue};\n" % names.pop()
