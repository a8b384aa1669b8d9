"""Where the tests of the loop find their server."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
