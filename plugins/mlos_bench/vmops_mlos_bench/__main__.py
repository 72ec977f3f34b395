"""Prints the schema of service configs for the backends that are installed here."""

import sys

from vmops_mlos_bench.schema import as_text, installed

sys.stdout.write(as_text(installed()))
