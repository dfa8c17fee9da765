# SPDX-License-Identifier: MIT
import sys

from bulkhead_kv.experiment import main

sys.exit(main())
