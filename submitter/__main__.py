"""`python -m submitter` is the command `submitter`."""

import sys

from submitter.cli import main

sys.exit(main())
