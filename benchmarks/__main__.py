"""``python -m benchmarks`` is ``python -m benchmarks.speed``."""

import sys

from .speed import main

sys.exit(main())
