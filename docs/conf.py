"""How Sphinx builds the documentation: ``make docs``."""

import sys
from pathlib import Path

import django
from django.conf import settings

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import otpmail

# The reference is made from the code, which needs Django's apps.
settings.configure(INSTALLED_APPS=["otpmail"], USE_TZ=True)
django.setup()

project = "otpmail"
author = "The maintainers of otpmail"
release = otpmail.__version__
extensions = ["myst_parser", "pages"]
exclude_patterns = ["_ext"]

myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"otpmail {release}"
html_show_sphinx = False
html_copy_source = False
