"""Run the command `submitter` as `python -m submitter`."""

from __future__ import annotations

import sys

from submitter.cli import main

sys.exit(main())
