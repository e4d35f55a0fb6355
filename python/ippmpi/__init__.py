# SPDX-License-Identifier: BSD-3-Clause
"""ippmpi: IPython.parallel's idea on MPI; `ippmpi.engine` is what an engine's Python runs."""
